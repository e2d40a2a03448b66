//! The shape of `pintle.toml`: one struct per table, each field with its default and its meaning. The
//! comments on fields are the descriptions in the JSON Schema that `pintle config schema` prints.
//!
//! Fields without a default are `Option`s here, although they are required: a value that did not parse
//! is left out so that the rest can still be examined, and `check.rs` reports what is truly missing.

use std::collections::BTreeMap;

use pintle_core::{Currency, DataClass, ModelName, Name, PriceCard, Zone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// The configuration of a Pintle server.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Whose ledger and policies these are.
    pub(crate) organisation: OrganisationConfig,
    /// Where the server listens.
    pub(crate) server: ServerSection,
    /// What one request, one key and the whole server may use.
    pub(crate) limits: Limits,
    /// What is looked for in texts.
    pub(crate) guard: GuardSection,
    /// The organisation's own rules.
    pub(crate) policy: PolicySection,
    /// Own models, and their tuning through OpenAI's interface.
    pub(crate) models: ModelsSection,
    /// The deployments of models that requests may go to; one `[[placement]]` table each.
    pub(crate) placement: Vec<PlacementConfig>,
}

/// Whose ledger and policies these are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OrganisationConfig {
    /// The name that pages show.
    pub(crate) name: Option<String>,
    /// The ledger's one currency, as an ISO 4217 code. A change needs a restart, and an empty ledger.
    pub(crate) currency: Option<Currency>,
    /// The IANA time zone in which months begin: budgets renew on the first of the month there.
    pub(crate) time_zone: String,
    /// The hard budget of the whole organisation per calendar month, as a decimal in quotes. Without it,
    /// the use cases' own budgets are the only ones.
    #[serde(deserialize_with = "decimal")]
    pub(crate) monthly_budget: Option<String>,
}

impl Default for OrganisationConfig {
    fn default() -> Self {
        OrganisationConfig { name: None, currency: None, time_zone: "UTC".to_owned(), monthly_budget: None }
    }
}

/// Where the server listens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerSection {
    /// Address and port. The default is reachable from this machine only. A change needs a restart.
    pub(crate) listen: String,
    /// What people see in links, when a proxy stands before Pintle. Derived from `listen` when absent.
    pub(crate) public_url: Option<String>,
}

impl Default for ServerSection {
    fn default() -> Self {
        ServerSection { listen: DEFAULT_LISTEN.to_owned(), public_url: None }
    }
}

/// Loopback, and a port that nothing well known uses.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7411";

/// What to do with a request for a placement whose price nobody has stated (I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnpricedRule {
    /// Refuse it: no budget could hold.
    #[default]
    Refuse,
    /// Let it pass and flag its record as unpriced.
    Flag,
}

/// What one request, one key and the whole server may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// The largest request body, in MiB; a larger one gets 413. From 1 to 1024.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) body_mib: u32,
    /// How long a request may take altogether, in seconds; then 504. From 1 to 86400.
    #[schemars(range(min = 1, max = 86_400))]
    pub(crate) request_deadline_s: u32,
    /// Requests in flight per key; one more gets 429. From 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) concurrent_per_key: u32,
    /// Requests in flight altogether; one more gets 503. From 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) concurrent_total: u32,
    /// Output tokens to hold money for when a request names no limit. From 1 to 10000000.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) max_output_tokens: u32,
    /// What to do with a request for a placement whose price is unknown.
    pub(crate) unpriced: UnpricedRule,
    /// How often a request that failed before its first byte is tried again, elsewhere or in the same
    /// place. From 0 to 10.
    #[schemars(range(min = 0, max = 10))]
    pub(crate) retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_mib: 32,
            request_deadline_s: 600,
            concurrent_per_key: 64,
            concurrent_total: 1_024,
            max_output_tokens: 4_096,
            unpriced: UnpricedRule::Refuse,
            retries: 2,
        }
    }
}

/// What is looked for in texts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GuardSection {
    /// Detectors to switch off, by kind.
    pub(crate) disabled: Vec<String>,
    /// The organisation's own words: code names, names of clients.
    pub(crate) dictionaries: Vec<DictionaryConfig>,
    /// The data class that a kind of finding gives to its text, where it shall differ from the default.
    pub(crate) classes: BTreeMap<String, DataClass>,
}

/// One file of words to look for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DictionaryConfig {
    /// Findings are called `dictionary:NAME`.
    pub(crate) name: Option<Name>,
    /// The data class of a text in which one of the words stands.
    pub(crate) class: Option<DataClass>,
    /// A text file with one entry per line, relative to this file's folder.
    pub(crate) file: Option<String>,
}

/// The organisation's own rules.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PolicySection {
    /// A folder of `*.cedar` files, relative to this file's folder. Without it the built-in policies apply.
    pub(crate) folder: Option<String>,
}

/// Own models, and their tuning through OpenAI's interface.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModelsSection {
    /// What an hour of processor time costs in tuning, as a decimal in quotes. Without it, or with "unpriced", nobody
    /// has said: `limits.unpriced` then says whether models are tuned.
    #[serde(deserialize_with = "decimal")]
    pub(crate) training_price_per_hour: Option<String>,
    /// What one busy core takes, in watts, where the machine's own meter cannot be read. From 0.1 to 1000.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub(crate) watts_per_core: f64,
}

impl Default for ModelsSection {
    fn default() -> Self {
        ModelsSection { training_price_per_hour: None, watts_per_core: WATTS_PER_CORE }
    }
}

/// Between what current processors for servers are rated at: 360 W over 96 cores is 3.75, 350 W over 56 is 6.25.
const WATTS_PER_CORE: f64 = 5.0;

/// How to speak to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProviderKind {
    /// Any server that speaks OpenAI's protocol: OpenAI, vLLM, Ollama, llama-server, Mistral.
    #[serde(rename = "openai")]
    OpenAi,
    /// Azure OpenAI; `model` is the deployment's name.
    #[serde(rename = "azure_openai")]
    AzureOpenAi,
    /// Anthropic Messages; requests and answers are converted.
    Anthropic,
    /// A model that Pintle serves itself: the version in production of the own model `model`, or a `folder`.
    Embedded,
    /// Answers from within Pintle and says so: for the demonstration and for tests.
    Simulated,
}

/// How the weights of a model that Pintle serves are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WeightsKind {
    /// Single precision: 4 bytes a weight. Nothing is lost.
    F32,
    /// bfloat16: 2 bytes a weight.
    Bf16,
    /// Whole numbers with a scale for each output: about 1 byte a weight.
    Int8,
}

/// One deployment of one model.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PlacementConfig {
    /// Unique; applications may ask for it by this name.
    pub(crate) name: Option<Name>,
    /// How to speak to it.
    pub(crate) provider: Option<ProviderKind>,
    /// Up to and with `/v1` for `openai` and `anthropic`; the resource's address for `azure_openai`; none
    /// for `embedded` and `simulated`.
    pub(crate) base_url: Option<String>,
    /// Where the provider's key is found. Local servers need none.
    pub(crate) api_key: Option<SecretSource>,
    /// The `api-version` that Azure OpenAI asks for.
    pub(crate) api_version: Option<String>,
    /// What the provider calls the model; applications may ask for it by this name too.
    pub(crate) model: Option<ModelName>,
    /// For `embedded`: a folder with a model in Hugging Face's layout, relative to this file's folder, in place of an
    /// own model's version in production.
    pub(crate) folder: Option<String>,
    /// The class of what the model in `folder` was trained on; required with it.
    pub(crate) trained_on: Option<DataClass>,
    /// For `embedded`: how the weights are kept in memory. Single precision when absent.
    pub(crate) weights: Option<WeightsKind>,
    /// Where it runs.
    pub(crate) zone: Option<Zone>,
    /// The country or region, in your own words. Pages show it.
    pub(crate) region: String,
    /// The highest data class that it may see.
    pub(crate) clearance: Option<DataClass>,
    /// What its tokens cost.
    pub(crate) price: Option<PriceConfig>,
    /// How long to wait for it.
    pub(crate) timeouts: TimeoutsConfig,
}

/// How long to wait for an endpoint.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TimeoutsConfig {
    /// For the connection, TLS included, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) connect_ms: u64,
    /// From the end of the request to the head of the answer, in milliseconds. Models may think long.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) first_byte_ms: u64,
    /// Between two pieces of the answer, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(crate) idle_ms: u64,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        TimeoutsConfig { connect_ms: 2_000, first_byte_ms: 120_000, idle_ms: 60_000 }
    }
}

/// Where a secret is found: exactly one of the two. The secret itself never stands in this file.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub(crate) struct SecretSource {
    /// The environment variable that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<String>,
    /// The file that holds it, relative to this file's folder; readable by its owner only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
}

/// Written by hand, because serde's own message for a string in the place of a table repeats the string:
/// here it would be the secret that somebody pasted.
impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecretSource;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("where the secret is found, such as { env = \"PROVIDER_OPENAI_KEY\" }")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretSource, E> {
                Err(E::custom(SECRET_INLINE))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
                let mut source = SecretSource::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "env" => source.env = Some(map.next_value()?),
                        "file" => source.file = Some(map.next_value()?),
                        _ => return Err(de::Error::custom(SECRET_SHAPE)),
                    }
                }
                if source.env.is_some() == source.file.is_some() {
                    return Err(de::Error::custom(SECRET_SHAPE));
                }
                Ok(source)
            }
        }
        d.deserialize_any(Visitor)
    }
}

/// `parse.rs` splits messages at the first semicolon into message and hint.
const SECRET_INLINE: &str = "a secret must not stand in this file; put it into an environment variable and write { env = \"NAME\" }, \
     or into a file and write { file = \"PATH\" }";
const SECRET_SHAPE: &str =
    "this does not say where the secret is; write either { env = \"NAME\" } or { file = \"PATH\" }";

/// What tokens cost, or that nobody knows yet. Unpriced is a state, never zero (I4).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum PriceConfig {
    /// Prices per million tokens.
    Card(PriceCard),
    /// Nobody has said what it costs.
    #[serde(serialize_with = "unpriced")]
    Unpriced,
}

fn unpriced<S: serde::Serializer>(s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str("unpriced")
}

impl<'de> Deserialize<'de> for PriceConfig {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PriceConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("prices per million tokens, { input = \"…\", output = \"…\" }, or \"unpriced\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PriceConfig, E> {
                if text == "unpriced" {
                    return Ok(PriceConfig::Unpriced);
                }
                Err(E::custom(format!(
                    "`{}` is not a price; {PRICE_HINT}",
                    text.chars().take(64).collect::<String>()
                )))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PriceConfig, A::Error> {
                PriceCard::deserialize(de::value::MapAccessDeserializer::new(map)).map(PriceConfig::Card)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for PriceConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PriceConfig".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let card = generator.subschema_for::<PriceCard>();
        json_schema!({
            "description": "Prices per million tokens, or that nobody knows them yet.",
            "anyOf": [card, { "type": "string", "const": "unpriced" }],
        })
    }
}

/// What to write when a price is missing or is none.
pub(crate) const PRICE_HINT: &str =
    "write price = { input = \"…\", output = \"…\" } per million tokens, or price = \"unpriced\"";

/// A decimal in quotes, or a whole number; never a float, because money is none.
fn decimal<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an amount of money in quotes, such as \"5000\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }
        fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Self::Value, E> {
            Ok(Some(whole.to_string()))
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
            Err(E::custom(format!(
                "`{value}` is not in quotes; write \"{value}\", because money is never a float"
            )))
        }
    }
    d.deserialize_any(Visitor)
}

/// What must be written down. The structs have these as `Option`s, so that the rest of a faulty file can be
/// examined; the schema has to be told.
const REQUIRED: [(&str, &[&str]); 4] = [
    ("", &["organisation"]),
    ("/$defs/OrganisationConfig", &["name", "currency"]),
    ("/$defs/DictionaryConfig", &["name", "class", "file"]),
    ("/$defs/PlacementConfig", &["name", "provider", "model", "zone", "clearance", "price"]),
];

/// The JSON Schema of `pintle.toml`, for editors and for the walk that finds unknown settings.
#[must_use]
pub(crate) fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".into(), "pintle.toml".into());
    let mut schema = schema.to_value();
    drop_nulls(&mut schema);
    for (pointer, keys) in REQUIRED {
        if let Some(Value::Object(table)) = schema.pointer_mut(pointer) {
            table.insert("required".to_owned(), keys.to_vec().into());
        }
    }
    schema
}

/// TOML has no null: what is optional is left out. So neither types nor defaults name it. The defaults of
/// whole tables repeat those of their keys and go as well.
fn drop_nulls(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|key, value| !(key == "default" && (value.is_null() || value.is_object())));
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
            }
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
