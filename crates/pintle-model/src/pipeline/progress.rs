//! What a pipeline says of itself while it works, as a small file: `work/progress.json`. A server that shows models
//! reads it; whoever trains, on a command line or elsewhere, writes it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use pintle_core::Timestamp;
use pintle_guard::Guard;
use serde::{Deserialize, Serialize};

use super::{Happening, Stage, write_json};
use crate::{ModelError, Point};

/// Written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A curve with more points than this loses every other one.
const POINTS_MAX: usize = 600;
const SAMPLES_MAX: usize = 5;
const FILE: &str = "progress.json";

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Documents are read.
    Reading,
    /// The vocabulary is made.
    Tokeniser,
    /// Learning from the documents.
    Base,
    /// Learning to answer.
    Tune,
    /// The evaluation.
    Evaluation,
}

/// A text that the model wrote, masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// In which training.
    pub stage: Stage,
    /// After which step.
    pub step: u64,
    /// The text.
    pub text: String,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What is being done.
    pub activity: Activity,
    /// Whether the recipe tunes.
    pub tunes: bool,
    /// When this process began.
    pub started_at: Timestamp,
    /// When it last wrote.
    pub updated_at: Timestamp,
    /// Steps of the activity that are done.
    pub step: u64,
    /// Its steps; 0 where nobody counts.
    pub steps: u64,
    /// What is trained.
    pub parameters: Option<u64>,
    /// Tokens per second.
    pub tokens_per_s: Option<f64>,
    /// Seconds left in the activity.
    pub left_s: Option<f64>,
    /// Learning from the documents, so far.
    pub base: Vec<Point>,
    /// Learning to answer, so far.
    pub tune: Vec<Point>,
    /// The latest samples, newest first.
    pub samples: Vec<Sample>,
}

impl Report {
    /// The report in a model's work folder, if a run is on its way there.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(work: &Path) -> Result<Option<Report>, ModelError> {
        crate::store::read_json(&work.join(FILE))
    }
}

/// Keeps the file up to date.
pub(super) struct Log<'a> {
    path: PathBuf,
    report: Report,
    written: Option<Instant>,
    /// Every how many steps of a training a point is kept.
    strides: [u64; 2],
    guard: &'a Guard,
    now: &'a dyn Fn() -> Timestamp,
}

impl<'a> Log<'a> {
    pub(super) fn new(work: &Path, tunes: bool, guard: &'a Guard, now: &'a dyn Fn() -> Timestamp) -> Self {
        let report = Report {
            activity: Activity::Reading,
            tunes,
            started_at: now(),
            updated_at: now(),
            step: 0,
            steps: 0,
            parameters: None,
            tokens_per_s: None,
            left_s: None,
            base: Vec::new(),
            tune: Vec::new(),
            samples: Vec::new(),
        };
        Log { path: work.join(FILE), report, written: None, strides: [1, 1], guard, now }
    }

    pub(super) fn hear(&mut self, happening: &Happening<'_>) {
        let report = &mut self.report;
        let mut set = |activity: Activity, step: u64, steps: u64| {
            report.activity = activity;
            (report.step, report.steps) = (step, steps);
        };
        match happening {
            Happening::Reading(progress) => set(Activity::Reading, progress.files, progress.files_total),
            Happening::Corpus(_) => set(Activity::Tokeniser, 0, 0),
            Happening::Tokeniser { .. } | Happening::Evaluated(_) => {}
            Happening::Begins { stage, parameters, settings, .. } => {
                set(activity(*stage), 0, settings.steps);
                report.parameters = Some(*parameters as u64);
            }
            Happening::Step { stage, progress } => {
                set(activity(*stage), progress.point.step, progress.steps);
                report.tokens_per_s = Some(progress.tokens_per_s);
                report.left_s = Some(progress.left.as_secs_f64());
                let (curve, stride) = match (stage, &mut self.strides) {
                    (Stage::Base, [stride, _]) => (&mut report.base, stride),
                    (Stage::Tune, [_, stride]) => (&mut report.tune, stride),
                };
                let is_look = progress.point.held_out_bits_per_byte.is_some();
                if is_look || progress.point.step.is_multiple_of(*stride) {
                    curve.push(progress.point);
                }
                if curve.len() > POINTS_MAX {
                    *stride *= 2;
                    let stride = *stride;
                    curve.retain(|point| {
                        point.held_out_bits_per_byte.is_some() || point.step.is_multiple_of(stride)
                    });
                }
            }
            Happening::Sample { stage, text } => {
                let text = masked(self.guard, text);
                report.samples.insert(0, Sample { stage: *stage, step: report.step, text });
                report.samples.truncate(SAMPLES_MAX);
            }
            Happening::Evaluating(progress) => {
                set(Activity::Evaluation, progress.done as u64, progress.total as u64);
            }
        }
        if self.written.is_none_or(|written| written.elapsed() >= WRITE_EVERY) {
            self.written = Some(Instant::now());
            self.report.updated_at = (self.now)();
            // Only for people to look at: a full disk shows when it matters, at the next checkpoint.
            if let Err(error) = write_json(&self.path, &self.report) {
                tracing::warn!(%error, "the progress cannot be written");
            }
        }
    }
}

const fn activity(stage: Stage) -> Activity {
    match stage {
        Stage::Base => Activity::Base,
        Stage::Tune => Activity::Tune,
    }
}

/// A text without what the guard finds in it: a model may recite what it has read.
fn masked(guard: &Guard, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for found in guard.scan(text) {
        if found.start >= at {
            out.push_str(text.get(at..found.start).unwrap_or_default());
            out.push('█');
            at = found.end;
        }
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
