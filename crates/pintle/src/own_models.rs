//! Own models as the console shows them: the files of the data folder, read when somebody looks.

use std::path::Path;

use pintle_console::{
    CorpusView, Curve, CurvePoint, EvaluationView, ModelView, OwnModels, OwnModelsError, PromotionView,
    SampleView, Soon, TrainingStage, TrainingView, TuningRow, VersionRow, VersionView,
};
use pintle_core::{Clock, Name, SystemClock};
use pintle_gateway::tuning::JobView;
use pintle_model::{
    Manifest, ModelError, ModelStore, Point, Promotion, VersionId,
    corpus::CorpusReport,
    pipeline::{Activity, Curves, Report, Stage},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tuning::Desk;

const FILE_BYTES_MAX: u64 = 64 << 20;

/// The models of a data folder.
pub(crate) struct Shelf {
    store: ModelStore,
    desk: Desk,
}

impl Shelf {
    pub(crate) fn new(data_folder: &Path, desk: Desk) -> Self {
        Shelf { store: ModelStore::new(data_folder), desk }
    }

    /// Does the work on a thread that may wait for the disk.
    fn soon<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ModelStore) -> Result<T, ModelError> + Send + 'static,
    ) -> Soon<Result<T, OwnModelsError>> {
        let store = self.store.clone();
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || work(&store)).await {
                Ok(done) => done.map_err(failed),
                Err(error) => Err(OwnModelsError::Failed(Box::new(error))),
            }
        })
    }
}

impl OwnModels for Shelf {
    fn list(&self) -> Soon<Result<Vec<ModelView>, OwnModelsError>> {
        self.soon(|store| store.models()?.into_iter().map(|name| model(store, name)).collect())
    }

    fn version(&self, model: &Name, version: u32) -> Soon<Result<Option<Box<VersionView>>, OwnModelsError>> {
        let id = VersionId { model: model.clone(), version };
        self.soon(move |store| match store.manifest(&id) {
            Ok(manifest) => Ok(Some(Box::new(whole(store, manifest)))),
            Err(ModelError::NoVersion(_)) => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn promote(
        &self,
        model: &Name,
        version: u32,
        by: &str,
        reason: &str,
    ) -> Soon<Result<(), OwnModelsError>> {
        let version = VersionId { model: model.clone(), version };
        let (by, reason) = (by.to_owned(), reason.to_owned());
        self.soon(move |store| store.promote(&Promotion { version, at: SystemClock.now(), by, reason }))
    }

    fn tunings(&self) -> Vec<TuningRow> {
        self.desk.all().into_iter().rev().map(tuning).collect()
    }
}

fn tuning(job: JobView) -> TuningRow {
    let status = serde_json::to_value(job.status).unwrap_or_default();
    TuningRow {
        id: job.id.to_string(),
        request: job.request,
        use_case: job.use_case,
        created_at: job.created_at,
        status: status.as_str().unwrap_or_default().to_owned(),
        is_over: job.status.is_final(),
        fault: job.fault.map(|fault| fault.message),
        base: job.base,
        version: job.fine_tuned_model,
        cost: job.cost,
        is_priced: job.hold.is_some(),
        energy: job.energy,
    }
}

fn failed(error: ModelError) -> OwnModelsError {
    match error {
        ModelError::Gate { .. } | ModelError::NoReason | ModelError::Broken { .. } => {
            OwnModelsError::Refused(error.to_string())
        }
        error => OwnModelsError::Failed(Box::new(error)),
    }
}

fn model(store: &ModelStore, name: Name) -> Result<ModelView, ModelError> {
    let mut versions = Vec::new();
    for id in store.versions(&name)?.into_iter().rev() {
        versions.push(row(store, store.manifest(&id)?));
    }
    let mut history: Vec<PromotionView> = store.history(&name)?.into_iter().map(promotion).collect();
    history.reverse();
    let production = store.production(&name)?.map(promotion);
    let training = Report::read(&store.work_path(&name))?.map(training);
    Ok(ModelView { name, versions, production, history, training })
}

fn promotion(promotion: Promotion) -> PromotionView {
    let Promotion { version, at, by, reason } = promotion;
    PromotionView { version: version.version, at, by, reason }
}

fn row(store: &ModelStore, manifest: Manifest) -> VersionRow {
    let evaluation = evaluation(&store.path(&manifest.id));
    let questions = evaluation.as_ref().and_then(|evaluation| evaluation.questions.as_ref());
    VersionRow {
        version: manifest.id.version,
        made_at: manifest.made_at,
        parameters: manifest.parameters,
        class: manifest.class,
        held_out_bits_per_byte: evaluation.as_ref().map(|it| it.held_out.model_bits_per_byte),
        ngram_bits_per_byte: evaluation.as_ref().map(|it| it.held_out.ngram_bits_per_byte),
        correct: questions.map(|questions| questions.model.correct),
        base_correct: questions.and_then(|questions| questions.base.as_ref()).map(|base| base.correct),
        gate_failures: manifest.gate_failures,
    }
}

fn whole(store: &ModelStore, manifest: Manifest) -> VersionView {
    let folder = store.path(&manifest.id);
    let curves: Curves = read(&folder.join("training.json")).unwrap_or_default();
    VersionView {
        model: manifest.id.model,
        version: manifest.id.version,
        made_at: manifest.made_at,
        pintle: manifest.pintle,
        recipe: manifest.recipe,
        seed: manifest.seed,
        class: manifest.class,
        licences: manifest.licences,
        data_sha256: manifest.data_sha256,
        base: manifest.base.map(|base| base.to_string()),
        parameters: manifest.parameters,
        trained_tokens: manifest.trained_tokens,
        training_s: manifest.training_s,
        energy: manifest.energy,
        gate_failures: manifest.gate_failures,
        files_sha256: manifest.files_sha256,
        evaluation: evaluation(&folder),
        corpus: corpus(&folder),
        base_curve: curve(&curves.base),
        tune_curve: curve(&curves.tune),
    }
}

fn curve(points: &[Point]) -> Curve {
    let point = |point: &Point| CurvePoint {
        step: point.step,
        loss: point.loss,
        held_out_bits_per_byte: point.held_out_bits_per_byte,
    };
    Curve::new(&points.iter().map(point).collect::<Vec<_>>())
}

/// The report of the evaluation: the view has its names, but for the gate, of which only the criteria are shown.
fn evaluation(folder: &Path) -> Option<EvaluationView> {
    let mut report: Value = read(&folder.join("evaluation.json"))?;
    let criteria = report.get_mut("gate")?.get_mut("criteria")?.take();
    report.as_object_mut()?.insert("criteria".to_owned(), criteria);
    serde_json::from_value(report).ok()
}

/// The report of the corpus: the reasons become a list with titles.
fn corpus(folder: &Path) -> Option<CorpusView> {
    let report: CorpusReport = read(&folder.join("corpus.json"))?;
    let left: Vec<Value> = report
        .left
        .iter()
        .map(|(reason, group)| {
            serde_json::json!({ "reason": reason.title(), "documents": group.documents, "listed": group.listed })
        })
        .collect();
    let mut view = serde_json::to_value(&report).ok()?;
    view.as_object_mut()?.insert("left".to_owned(), Value::Array(left));
    serde_json::from_value(view).ok()
}

/// A report of a version; `None` when it is not there or not to be read, which the page says.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let file = std::fs::File::open(path).ok()?;
    serde_json::from_reader(std::io::BufReader::new(std::io::Read::take(file, FILE_BYTES_MAX))).ok()
}

fn training(report: Report) -> TrainingView {
    let stage = match report.activity {
        Activity::Reading => TrainingStage::Reading,
        Activity::Tokeniser => TrainingStage::Tokeniser,
        Activity::Base => TrainingStage::Base,
        Activity::Tune => TrainingStage::Tune,
        Activity::Evaluation => TrainingStage::Evaluation,
    };
    let mut stages = vec![TrainingStage::Reading, TrainingStage::Tokeniser, TrainingStage::Base];
    if report.tunes {
        stages.push(TrainingStage::Tune);
    }
    stages.push(TrainingStage::Evaluation);
    let newest = report.tune.last().or(report.base.last());
    TrainingView {
        stage,
        stages,
        started_at: report.started_at,
        updated_at: report.updated_at,
        step: report.step,
        steps: report.steps,
        parameters: report.parameters,
        loss: newest.map(|point| point.loss),
        held_out_bits_per_byte: report.base.iter().rev().find_map(|point| point.held_out_bits_per_byte),
        tokens_per_s: report.tokens_per_s,
        left_s: report.left_s,
        base_curve: curve(&report.base),
        tune_curve: curve(&report.tune),
        samples: report.samples.into_iter().map(sample).collect(),
    }
}

fn sample(sample: pintle_model::pipeline::Sample) -> SampleView {
    let stage = match sample.stage {
        Stage::Base => TrainingStage::Base,
        Stage::Tune => TrainingStage::Tune,
    };
    SampleView { stage, step: sample.step, text: sample.text }
}
