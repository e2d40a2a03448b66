//! Placements and the organisation, as the configuration file states them.

use pintle_core::{Currency, DataClass, ModelName, Name, Pricing, Secret, Zone};

/// Whose ledger and policies these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// The name that pages show.
    pub name: String,
    /// The ledger's one currency.
    pub currency: Currency,
    /// Where months begin and days end.
    pub time_zone: jiff::tz::TimeZone,
    /// Whether this is the labelled sample organisation.
    pub is_demo: bool,
}

/// How to speak to a placement's endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// Any server that speaks OpenAI's protocol: OpenAI, vLLM, Ollama, llama-server, Mistral.
    OpenAi {
        /// Up to and with `/v1`.
        base_url: http::Uri,
        /// Sent as a bearer token; local servers need none.
        api_key: Option<Secret>,
    },
    /// Azure OpenAI: the deployment's name is the placement's model.
    AzureOpenAi {
        /// `https://RESOURCE.openai.azure.com`.
        base_url: http::Uri,
        /// Sent as `api-key`.
        api_key: Option<Secret>,
        /// The `api-version` query parameter.
        api_version: String,
    },
    /// Anthropic Messages; requests and answers are converted.
    Anthropic {
        /// `https://api.anthropic.com/v1`.
        base_url: http::Uri,
        /// Sent as `x-api-key`.
        api_key: Option<Secret>,
    },
    /// An own model, served from within the process: the production version of the model of that name.
    Embedded,
    /// Answers from within the process and says so in each answer: for the demonstration.
    Simulated,
}

impl Provider {
    /// The name that configuration, policies and bans use.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Provider::OpenAi { .. } => "openai",
            Provider::AzureOpenAi { .. } => "azure_openai",
            Provider::Anthropic { .. } => "anthropic",
            Provider::Embedded => "embedded",
            Provider::Simulated => "simulated",
        }
    }
}

/// How long to wait for a placement's endpoint, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect_ms: u64,
    /// From the request's last byte to the answer's head.
    pub first_byte_ms: u64,
    /// Between two pieces of the answer.
    pub idle_ms: u64,
}

/// One deployment of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Unique; clients may ask for it by this name.
    pub name: Name,
    /// How to reach it.
    pub provider: Provider,
    /// What the provider calls the model; clients may ask for it by this name too.
    pub model: ModelName,
    /// Where it runs.
    pub zone: Zone,
    /// The country or region, as the organisation names it.
    pub region: String,
    /// The highest class that it may see.
    pub clearance: DataClass,
    /// What its tokens cost, if known.
    pub pricing: Pricing,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Where the configuration defines it: `pintle.toml:31`.
    pub source: String,
}
