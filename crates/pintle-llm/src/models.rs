//! The list of `GET /v1/models`: one answer that both OpenAI's and Anthropic's SDKs read.

use bytes::Bytes;
use pintle_core::Timestamp;
use serde::Serialize;

use crate::fault::to_bytes;

/// One model that the caller may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEntry {
    /// What the client writes into `model`.
    pub id: String,
    /// What a person reads.
    pub display_name: String,
    /// Who offers it: `pintle`, or the placement's provider.
    pub owned_by: String,
    /// Since when it is offered.
    pub created: Timestamp,
}

/// The list, in the order in which it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelList {
    /// Every model; the list is never paged.
    pub models: Vec<ModelEntry>,
}

/// One entry with the members of both dialects.
#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'a str,
    r#type: &'static str,
    display_name: &'a str,
    created_at: String,
}

#[derive(Serialize)]
struct WireList<'a> {
    object: &'static str,
    data: Vec<Wire<'a>>,
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

impl ModelEntry {
    fn wire(&self) -> Wire<'_> {
        Wire {
            id: &self.id,
            object: "model",
            created: self.created.as_second(),
            owned_by: &self.owned_by,
            r#type: "model",
            display_name: &self.display_name,
            created_at: self.created.to_string(),
        }
    }

    /// The body of `GET /v1/models/{id}`.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        to_bytes(&self.wire(), 256)
    }
}

impl ModelList {
    /// The body of `GET /v1/models`.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let list = WireList {
            object: "list",
            data: self.models.iter().map(ModelEntry::wire).collect(),
            has_more: false,
            first_id: self.models.first().map(|model| model.id.as_str()),
            last_id: self.models.last().map(|model| model.id.as_str()),
        };
        to_bytes(&list, 256 * (self.models.len() + 1))
    }
}
