//! Taking a job in: files, base and figures become a plan, and the most that it can cost is held.

use pintle_core::{DataClass, FileId, Name, TuningJobId};
use pintle_gateway::{
    Unpriced,
    tuning::{DeskError, EventLevel, FilePurpose, JobStatus, JobView, TuningOrder, TuningWish},
};
use pintle_model::{
    LoraSettings, TuneMethod,
    pipeline::{FineTunePlan, Foundation, Workload},
};

use super::{
    Inner, broken,
    files::Meta,
    job::{Job, JobFolder},
    meter::Spent,
};

/// Jobs that have not ended, but for the one that runs.
const WAITING_MAX: usize = 32;
/// Ended jobs of a use case that are kept; older ones go. What they cost stays in the ledger.
const KEPT_MAX: usize = 1_000;
const EPOCHS: u64 = 3;
/// Few conversations are learnt more often: until so many steps are made.
const STEPS_WANTED: u64 = 100;
const EPOCHS_MAX: u64 = 25;
const BATCH_MAX: u64 = 16;
const THREADS_MAX: usize = 64;

impl Inner {
    pub(super) fn create(&self, order: &TuningOrder) -> Result<JobView, DeskError> {
        let now = self.clock.now();
        let settings = self.settings();
        let training = self.chats(order, "training_file", order.wish.training_file)?;
        let validation =
            order.wish.validation_file.map(|id| self.chats(order, "validation_file", id)).transpose()?;
        if validation.as_ref().is_some_and(|meta| meta.id == training.id) {
            return Err(DeskError::Invalid {
                param: "validation_file",
                code: "invalid_field",
                message:
                    "`validation_file`: it is the training file, and what was learnt says nothing of what \
                          was not; upload another one, or leave it out."
                        .to_owned(),
            });
        }
        let base = order.base.id.parse().map_err(broken)?;
        let foundation = Foundation::read(&self.store, &base).map_err(broken)?;
        let id = TuningJobId::new(now).map_err(broken)?;
        let plan = plan(order, id, &foundation, &training)?;
        let load = Workload {
            conversations: training.conversations,
            longest_tokens: training
                .longest_tokens
                .max(validation.as_ref().map_or(0, |it| it.longest_tokens)),
            validation: validation.as_ref().map_or(0, |meta| meta.conversations),
        };
        let most = plan.processor_time_max(&foundation, load);
        if settings.price_per_hour.is_none() && order.unpriced == Unpriced::Refuse {
            return Err(DeskError::Unpriced);
        }
        let worst = settings.price_per_hour.map(|price| price.for_time(most)).transpose();
        let hold = worst.map_err(|error| DeskError::Money(error.into()))?;
        let job = Job {
            id,
            request: order.request,
            use_case: order.use_case.clone(),
            key: order.key,
            policy_version: order.policy_version.to_string(),
            created_at: now,
            finished_at: None,
            status: JobStatus::Queued,
            wanted: None,
            plan,
            training_file: training.id,
            validation_file: validation.map(|meta| meta.id),
            result_file: None,
            metadata: order.wish.metadata.clone(),
            price_per_hour: settings.price_per_hour,
            hold,
            processor_ms_max: u64::try_from(most.as_millis()).unwrap_or(u64::MAX),
            watts_per_core: settings.watts_per_core,
            zone: settings.zone(),
            crashes: 0,
            spent: Spent::default(),
            class: None,
            fault: None,
            fine_tuned_model: None,
            trained_tokens: None,
            cost: None,
            metrics: None,
        };
        let view = self.queue(job)?;
        self.wake.notify_one();
        Ok(view)
    }

    /// Holds, keeps and queues it, all or nothing.
    fn queue(&self, mut job: Job) -> Result<JobView, DeskError> {
        let _one_at_a_time = self.keeping();
        {
            let state = self.state();
            let waiting = state.jobs.values().filter(|job| !job.status.is_final()).count();
            let waiting = waiting.saturating_sub(usize::from(state.running.is_some()));
            if waiting >= WAITING_MAX {
                return Err(DeskError::Busy { most: WAITING_MAX });
            }
            // Deleted in the meantime?
            for file in [Some(job.training_file), job.validation_file].into_iter().flatten() {
                state.files.get(&file).ok_or_else(super::no_file)?;
            }
            if waiting == 0 && state.running.is_none() {
                job.status = JobStatus::ValidatingFiles;
            }
        }
        let hold = self.ledger.hold(&job.use_case, job.hold.unwrap_or_default())?;
        let folder = self.folder(job.id);
        pintle_db::make_private_folder(&folder.0).and_then(|()| folder.write(&job)).map_err(broken)?;
        folder.say(job.created_at, EventLevel::Info, created(&job), None);
        let view = job.view(None);
        let mut state = self.state();
        state.holds.insert(job.id, hold);
        let use_case = job.use_case.clone();
        state.jobs.insert(job.id, job);
        let own = state.jobs.values().filter(|job| job.use_case == use_case && job.status.is_final());
        let ended: Vec<TuningJobId> = own.map(|job| job.id).collect();
        for old in ended.iter().take(ended.len().saturating_sub(KEPT_MAX)) {
            state.jobs.remove(old);
            let JobFolder(path) = self.folder(*old);
            if let Err(error) = std::fs::remove_dir_all(path) {
                tracing::warn!(%error, id = %old, "an old tuning job cannot be removed");
            }
        }
        Ok(view)
    }

    /// A file of the use case's own, with conversations.
    fn chats(&self, order: &TuningOrder, param: &'static str, id: FileId) -> Result<Meta, DeskError> {
        let invalid = |message: String| DeskError::Invalid { param, code: "invalid_file", message };
        let meta = self.file_of(&order.use_case, id).map_err(|_| {
            invalid(format!(
                "`{param}`: there is no file `{id}` here; upload it first, with the purpose `fine-tune`."
            ))
        })?;
        if meta.purpose != FilePurpose::FineTune {
            return Err(invalid(format!(
                "`{param}`: `{id}` holds results, and no conversations to learn from."
            )));
        }
        Ok(meta)
    }
}

fn created(job: &Job) -> String {
    let what = match job.plan.method {
        TuneMethod::Full => "all weights are trained",
        TuneMethod::Lora => "an adapter (LoRA) is trained and merged",
    };
    format!("The job is queued: `{}` from `{}`, {what}.", job.plan.name, job.plan.base)
}

/// Every figure that the client left to us is chosen here, once: the plan is complete.
fn plan(
    order: &TuningOrder,
    id: TuningJobId,
    base: &Foundation,
    training: &Meta,
) -> Result<FineTunePlan, DeskError> {
    let wish = &order.wish;
    let method = if wish.is_full { TuneMethod::Full } else { TuneMethod::Lora };
    let batch = wish.batch_size.map_or((training.conversations / 8).clamp(1, BATCH_MAX), u64::from);
    let epochs = (STEPS_WANTED * batch).div_ceil(training.conversations.max(1)).clamp(EPOCHS, EPOCHS_MAX);
    let multiplier = wish.learning_rate_multiplier.unwrap_or(1.0);
    // Of the request's own randomness.
    let drawn = order.request.as_uuid().as_u128() & 0x7FFF_FFFF;
    let plan = FineTunePlan {
        name: name(wish, &base.id.model)?,
        base: base.id.clone(),
        job: id.to_string(),
        use_case: order.use_case.clone(),
        seed: wish.seed.unwrap_or(u64::try_from(drawn).unwrap_or(1)),
        method,
        epochs: wish.n_epochs.unwrap_or(u32::try_from(epochs).unwrap_or(1)),
        batch_size: u32::try_from(batch).unwrap_or(1),
        learning_rate: base.rate(method, multiplier),
        learning_rate_multiplier: multiplier,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX),
        accepts: order.accepts,
        // What an organisation's people say is its own, whatever the guard finds in it.
        class_at_least: DataClass::Internal.min(order.accepts),
        licences: base.licences.clone(),
        lora: LoraSettings::default(),
        evaluation: base.evaluation.clone(),
        output: base.output,
    };
    match plan.check() {
        Ok(()) => Ok(plan),
        Err((_, hint)) => Err(DeskError::Invalid {
            param: "hyperparameters",
            code: "invalid_field",
            message: format!("`hyperparameters`: expected {hint}."),
        }),
    }
}

/// The base's own name, or a new one with the suffix: `handbook`, `handbook-support`.
fn name(wish: &TuningWish, base: &Name) -> Result<Name, DeskError> {
    let Some(suffix) = &wish.suffix else { return Ok(base.clone()) };
    let plain: String = suffix
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' })
        .collect();
    let plain = plain.trim_matches(['-', '.', '_']);
    let invalid = |message: &str| DeskError::Invalid {
        param: "suffix",
        code: "invalid_field",
        message: format!("`suffix`: {message}"),
    };
    if plain.is_empty() {
        return Err(invalid("it has no letter or digit that a model's name may have."));
    }
    format!("{base}-{plain}")
        .parse()
        .map_err(|_| invalid("with the base's name before it, it is longer than 64 characters; shorten it."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(suffix: &str) -> TuningWish {
        TuningWish {
            model: "handbook".into(),
            training_file: "file-0193a1b2c3d47e5f8a9b0c1d2e3f4a5b".parse().unwrap(),
            validation_file: None,
            n_epochs: None,
            batch_size: None,
            learning_rate_multiplier: None,
            seed: None,
            suffix: Some(suffix.to_owned()),
            metadata: None,
            is_full: false,
        }
    }

    #[test]
    fn a_suffix_becomes_part_of_a_name() {
        let base: Name = "handbook".parse().unwrap();
        assert_eq!(name(&wish("Support Desk!"), &base).unwrap().as_str(), "handbook-support-desk");
        assert!(name(&wish("!!!"), &base).is_err());
        assert!(name(&wish(&"x".repeat(60)), &base).is_err());
    }
}
