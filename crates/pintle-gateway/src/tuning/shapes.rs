//! Files, jobs, events and checkpoints as OpenAI writes them, and its way of giving lists in pages.

use pintle_core::Timestamp;
use pintle_ledger::Ledger;
use pintle_llm::RequestError;
use serde_json::{Value, json};

use super::{EventView, FileView, JobStatus, JobView, Metrics};

pub(super) fn file(file: &FileView) -> Value {
    json!({
        "id": file.id, "object": "file", "bytes": file.bytes, "created_at": file.created_at.as_second(),
        "expires_at": file.expires_at.map(Timestamp::as_second), "filename": file.filename,
        "purpose": file.purpose.as_str(), "status": "processed", "status_details": null,
    })
}

/// A job. What OpenAI has no word for stands under `pintle`.
pub(super) fn job(job: &JobView, organisation: &str, ledger: &Ledger) -> Value {
    let hyperparameters = json!({
        "n_epochs": job.n_epochs, "batch_size": job.batch_size,
        "learning_rate_multiplier": job.learning_rate_multiplier,
    });
    let cost = match (job.cost, job.hold) {
        (Some(cost), _) => json!(format!("{cost} {}", ledger.currency())),
        (None, None) => json!("unpriced"),
        (None, Some(_)) => Value::Null,
    };
    let status = serde_json::to_value(job.status).unwrap_or_default();
    json!({
        "id": job.id, "object": "fine_tuning.job", "created_at": job.created_at.as_second(),
        "error": job.fault.as_ref().map(|fault| json!({
            "code": fault.code, "message": fault.message, "param": fault.param,
        })),
        "fine_tuned_model": job.fine_tuned_model, "finished_at": job.finished_at.map(Timestamp::as_second),
        "hyperparameters": hyperparameters, "model": job.base, "organization_id": organisation,
        "result_files": job.result_file.into_iter().collect::<Vec<_>>(), "seed": job.seed, "status": status,
        "trained_tokens": job.trained_tokens, "training_file": job.training_file,
        "validation_file": job.validation_file,
        "estimated_finish": job.estimated_finish.map(Timestamp::as_second), "integrations": [],
        "metadata": job.metadata,
        "method": { "type": "supervised", "supervised": { "hyperparameters": hyperparameters } },
        "pintle": {
            "use_case": job.use_case, "tuning": if job.is_full { "full" } else { "lora" }, "class": job.class,
            "cost": cost, "held": held(job).map(|hold| format!("{hold} {}", ledger.currency())),
            "energy": job.energy.map(|energy| json!({
                "watt_hours": format!("{}.{:03}", energy.milliwatt_hours / 1_000, energy.milliwatt_hours % 1_000),
                "method": energy.method,
            })),
            "processor_ms": u64::try_from(job.processor_time.as_millis()).unwrap_or(u64::MAX),
            "request_id": job.request, "reference": job.request.short(),
        },
    })
}

/// What is held for a job that has not ended.
fn held(job: &JobView) -> Option<pintle_core::Amount> {
    job.hold.filter(|_| !job.status.is_final())
}

pub(super) fn event(event: &EventView) -> Value {
    json!({
        "id": event.id, "object": "fine_tuning.job.event", "created_at": event.at.as_second(),
        "level": event.level, "message": event.message,
        "type": if event.metrics.is_some() { "metrics" } else { "message" },
        "data": event.metrics.map_or_else(|| json!({}), |metrics| step(&metrics)),
    })
}

fn step(metrics: &Metrics) -> Value {
    json!({
        "step": metrics.step, "total_steps": metrics.total_steps, "train_loss": metrics.train_loss,
        "valid_loss": metrics.valid_loss,
    })
}

/// The checkpoints of a job: what can be asked for is the finished version alone, so there is one or none.
pub(super) fn checkpoints(job: &JobView) -> Vec<Value> {
    let (Some(model), Some(metrics), JobStatus::Succeeded) =
        (&job.fine_tuned_model, &job.checkpoint, job.status)
    else {
        return Vec::new();
    };
    let made_at = job.finished_at.unwrap_or(job.created_at);
    vec![json!({
        "id": job.id.to_string().replacen("ftjob-", "ftckpt-", 1), "object": "fine_tuning.job.checkpoint",
        "created_at": made_at.as_second(), "fine_tuned_model_checkpoint": model, "fine_tuning_job_id": job.id,
        "step_number": metrics.step,
        "metrics": {
            "step": metrics.step, "train_loss": metrics.train_loss, "full_valid_loss": metrics.valid_loss,
        },
    })]
}

/// `?after=…&limit=…`, and for files `order` and `purpose`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Page {
    pub(super) after: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) order: Option<String>,
    pub(super) purpose: Option<String>,
}

/// How a list is given unless the client says otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
    pub(super) limit: usize,
    pub(super) limit_max: usize,
}

impl Page {
    /// Whether the oldest come first.
    pub(super) fn is_ascending(&self) -> Result<bool, RequestError> {
        match self.order.as_deref() {
            None | Some("desc") => Ok(false),
            Some("asc") => Ok(true),
            Some(_) => Err(invalid("order", "`asc` or `desc`")),
        }
    }

    /// A page of a list that is there as a whole, in its order.
    pub(super) fn cut(&self, all: Vec<Value>, listing: Listing) -> Result<Value, RequestError> {
        let limit = match &self.limit {
            None => listing.limit,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=listing.limit_max).contains(limit))
                .ok_or_else(|| invalid("limit", "a whole number from 1 to the list's largest page"))?,
        };
        let id = |value: &Value| value.get("id").and_then(Value::as_str).map(str::to_owned);
        let from = match &self.after {
            None => 0,
            Some(after) => {
                let at = all.iter().position(|value| id(value).as_ref() == Some(after));
                at.ok_or_else(|| invalid("after", "the id of an entry of this list"))? + 1
            }
        };
        let left = all.len().saturating_sub(from);
        let data: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
        Ok(json!({
            "object": "list", "has_more": left > data.len(), "first_id": data.first().and_then(id),
            "last_id": data.last().and_then(id), "data": data,
        }))
    }
}

fn invalid(param: &str, expected: &'static str) -> RequestError {
    RequestError::InvalidField { param: param.to_owned(), expected, found: "something else".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let all: Vec<Value> = (1..=5).map(|n| json!({ "id": format!("x{n}") })).collect();
        let listing = Listing { limit: 2, limit_max: 100 };
        let page = |after: Option<&str>, limit: Option<&str>| {
            let page =
                Page { after: after.map(str::to_owned), limit: limit.map(str::to_owned), ..Page::default() };
            page.cut(all.clone(), listing)
        };
        let first = page(None, None).unwrap();
        assert_eq!((&first["last_id"], &first["has_more"]), (&json!("x2"), &json!(true)));
        let last = page(Some("x4"), None).unwrap();
        assert_eq!((&last["data"], &last["has_more"]), (&json!([{ "id": "x5" }]), &json!(false)));
        assert_eq!(page(Some("x5"), None).unwrap()["data"], json!([]));
        assert_eq!(page(None, Some("5")).unwrap()["has_more"], json!(false));
        assert_eq!(page(Some("x9"), None).unwrap_err().param(), Some("after"));
        for limit in ["0", "101", "x"] {
            assert_eq!(page(None, Some(limit)).unwrap_err().param(), Some("limit"));
        }
    }
}
