//! The `embedded` provider: one version of a model, answering chat completions in OpenAI's form.
//!
//! `ask` reads a request and refuses what this engine does not do, naming the field. `answer` turns the engine's
//! events into a document or a stream. Nothing here blocks: the engine works on threads of its own, and a body that is
//! dropped cancels its jobs.

mod answer;
mod ask;
mod stops;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use pintle_core::{Clock, DataClass};
use pintle_llm::{ChatRequest, ErrorBody, LocalAnswer, LocalModel};

use crate::{
    ModelError, VersionId,
    artefact::{self, Model},
    infer::{Engine, EngineModel, EngineSettings, Handle, Precision, SubmitError},
};
use answer::{Choice, Head, StreamBody, WholeBody};
use ask::Ask;

/// After how many seconds a client is asked to try again when the queue is full.
const RETRY_AFTER_S: u64 = 2;

/// A version at work.
#[derive(Debug)]
pub struct ServedModel {
    id: VersionId,
    class: DataClass,
    model: Model,
    engine: Engine,
    clock: Arc<dyn Clock>,
    answers: AtomicU64,
}

impl ServedModel {
    /// Loads a version from its folder and starts its engine.
    ///
    /// # Errors
    /// When the folder does not hold a model that can be served.
    pub fn open(
        folder: &Path,
        id: VersionId,
        class: DataClass,
        settings: EngineSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, ModelError> {
        let model = artefact::load(folder)?;
        let weights = EngineModel::new(model.config.clone(), &model.weights, Precision::F32)?;
        let engine = Engine::start(Arc::new(weights), settings)?;
        // The engine has the weights in its own order.
        let model = Model { weights: Arc::default(), ..model };
        Ok(Arc::new(ServedModel { id, class, model, engine, clock, answers: AtomicU64::new(0) }))
    }

    fn begin(&self, request: &ChatRequest) -> Result<LocalAnswer, Refused> {
        let ask = Ask::read(request.body(), &self.model)?;
        let mut choices = Vec::with_capacity(ask.jobs.len());
        for (index, job) in ask.jobs.into_iter().enumerate() {
            let handle: Handle = self.engine.submit(job)?;
            choices.push(Choice::new(index, handle, &self.model, &ask.stops));
        }
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let head = Head {
            id: format!("chatcmpl-{:x}-{number:x}", now.as_millisecond()),
            created: now.as_second(),
            model: self.id.to_string(),
        };
        let body: std::pin::Pin<Box<dyn pintle_llm::LocalBody>> = if ask.is_stream {
            Box::pin(StreamBody::new(head, choices, ask.with_usage))
        } else {
            Box::pin(WholeBody::new(head, choices))
        };
        Ok(LocalAnswer { status: 200, retry_after_s: None, body })
    }
}

impl LocalModel for ServedModel {
    fn trained_on(&self) -> DataClass {
        self.class
    }

    fn chat(&self, request: &ChatRequest) -> LocalAnswer {
        self.begin(request).unwrap_or_else(Refused::into_answer)
    }
}

/// Why a request is not answered.
#[derive(Debug)]
struct Refused {
    status: u16,
    retry_after_s: Option<u64>,
    error: Box<ErrorBody>,
}

impl Refused {
    /// The request asks for what the model cannot do.
    fn field(field: &str, why: impl Into<String>) -> Self {
        let mut error = ErrorBody::new("invalid_request_error", "unsupported_parameter", why);
        error.param = Some(field.to_owned());
        Refused { status: 400, retry_after_s: None, error: Box::new(error) }
    }

    fn into_answer(self) -> LocalAnswer {
        let body: Option<Bytes> = Some(self.error.to_bytes());
        LocalAnswer { status: self.status, retry_after_s: self.retry_after_s, body: Box::pin(body) }
    }
}

impl From<SubmitError> for Refused {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        match error {
            SubmitError::QueueFull { .. } => Refused {
                status: 429,
                retry_after_s: Some(RETRY_AFTER_S),
                error: Box::new(ErrorBody::new("rate_limit_error", "model_busy", text)),
            },
            SubmitError::ContextOverflow { .. } => Refused {
                status: 400,
                retry_after_s: None,
                error: Box::new(ErrorBody::new("invalid_request_error", "context_length_exceeded", text)),
            },
            SubmitError::Invalid { field, .. } => Refused::field(field, text),
            SubmitError::Stopped => Refused {
                status: 503,
                retry_after_s: Some(RETRY_AFTER_S),
                error: Box::new(ErrorBody::new("server_error", "model_stopped", text)),
            },
        }
    }
}
