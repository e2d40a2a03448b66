//! What belongs to the protocol and carries nobody's content: the names of its fields, the values of its
//! enumerations, its counters. These, and nothing else, are left out when texts are visited.
//!
//! Every list holds constants, so a match can hide nothing: whoever writes `assistant` into `role` has said
//! `assistant`. A value that is not in a list is a text, wherever it stands.

/// Names of fields in chat completions, their parts, tools, JSON schemas and answers, and in the requests of
/// [`crate::Endpoint`]'s other members. Sorted, for a binary
/// search. Also the only names that paths show; others may be content.
const KEYS: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "accepted_prediction_tokens",
    "add_generation_prompt",
    "add_special_tokens",
    "additionalProperties",
    "allOf",
    "allowed_tools",
    "annotations",
    "anyOf",
    "arguments",
    "audio",
    "audio_tokens",
    "best_of",
    "budget_tokens",
    "bytes",
    "cache_control",
    "cached_tokens",
    "chat_template_kwargs",
    "choices",
    "completion_tokens",
    "completion_tokens_details",
    "const",
    "content",
    "content_filter_results",
    "created",
    "custom",
    "data",
    "default",
    "definitions",
    "delta",
    "description",
    "detail",
    "dimensions",
    "echo",
    "effort",
    "encoding_format",
    "end_index",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "expires_at",
    "file",
    "file_data",
    "file_id",
    "filename",
    "finish_reason",
    "format",
    "frequency_penalty",
    "function",
    "function_call",
    "functions",
    "grammar",
    "id",
    "image_url",
    "include_usage",
    "index",
    "input",
    "input_audio",
    "items",
    "json_schema",
    "logit_bias",
    "logprob",
    "logprobs",
    "maxItems",
    "maxLength",
    "max_completion_tokens",
    "max_tokens",
    "maximum",
    "message",
    "messages",
    "metadata",
    "minItems",
    "minLength",
    "min_p",
    "minimum",
    "modalities",
    "mode",
    "model",
    "multipleOf",
    "n",
    "name",
    "not",
    "object",
    "oneOf",
    "parallel_tool_calls",
    "parameters",
    "pattern",
    "patternProperties",
    "prediction",
    "presence_penalty",
    "prompt",
    "prompt_cache_key",
    "prompt_filter_results",
    "prompt_tokens",
    "prompt_tokens_details",
    "properties",
    "reasoning",
    "reasoning_content",
    "reasoning_effort",
    "reasoning_tokens",
    "refusal",
    "rejected_prediction_tokens",
    "repetition_penalty",
    "required",
    "response_format",
    "return_token_strs",
    "role",
    "safety_identifier",
    "schema",
    "seed",
    "service_tier",
    "start_index",
    "stop",
    "store",
    "stream",
    "stream_options",
    "strict",
    "suffix",
    "system_fingerprint",
    "temperature",
    "text",
    "thinking",
    "title",
    "token",
    "tokens",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "total_tokens",
    "transcript",
    "ttl",
    "type",
    "uniqueItems",
    "url",
    "url_citation",
    "usage",
    "user",
    "verbosity",
    "voice",
    "web_search_options",
];

/// Whether a field's name is one of the protocol's own.
pub(crate) fn is_protocol_key(key: &str) -> bool {
    KEYS.binary_search(&key).is_ok()
}

/// Whether `text`, standing in the field `label` (directly, or in an array there), is one of the constants
/// that the protocol allows in that field.
pub(crate) fn is_protocol_value(label: &str, text: &str) -> bool {
    match label {
        "role" => is_role(text),
        "type" => is_type(text),
        "finish_reason" => {
            matches!(text, "stop" | "length" | "tool_calls" | "content_filter" | "function_call")
        }
        "object" => matches!(text, "chat.completion" | "chat.completion.chunk" | "text_completion"),
        "encoding_format" => matches!(text, "float" | "base64"),
        "tool_choice" | "function_call" | "mode" => matches!(text, "auto" | "none" | "required"),
        "service_tier" => matches!(text, "auto" | "default" | "flex" | "priority" | "standard" | "scale"),
        "reasoning_effort" | "effort" | "verbosity" => {
            matches!(text, "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max")
        }
        "detail" => matches!(text, "auto" | "low" | "high"),
        "modalities" => matches!(text, "text" | "audio"),
        "format" => matches!(
            text,
            "wav"
                | "mp3"
                | "flac"
                | "opus"
                | "pcm16"
                | "date"
                | "time"
                | "date-time"
                | "email"
                | "uri"
                | "uuid"
        ),
        _ => false,
    }
}

/// The roles of messages.
pub(crate) fn is_role(text: &str) -> bool {
    matches!(text, "system" | "developer" | "user" | "assistant" | "tool" | "function")
}

fn is_type(text: &str) -> bool {
    matches!(
        text,
        "text"
            | "image_url"
            | "input_audio"
            | "file"
            | "content"
            | "refusal"
            | "function"
            | "custom"
            | "allowed_tools"
            | "json_schema"
            | "json_object"
            | "ephemeral"
            | "enabled"
            | "disabled"
            | "url_citation"
            | "string"
            | "number"
            | "integer"
            | "boolean"
            | "array"
            | "object"
            | "null"
    )
}

/// Whether a number in the field `label` is a setting or a counter. Elsewhere a number of seven digits or more
/// may be an account, a card or a person's number, and is visited like a text.
pub(crate) fn is_protocol_number(label: &str) -> bool {
    matches!(
        label,
        "seed"
            | "created"
            | "expires_at"
            | "maximum"
            | "minimum"
            | "exclusiveMaximum"
            | "exclusiveMinimum"
            | "maxLength"
            | "minLength"
            | "maxItems"
            | "minItems"
            | "multipleOf"
            | "max_tokens"
            | "max_completion_tokens"
            | "start_index"
            | "end_index"
            | "bytes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_sorted_and_distinct() {
        for pair in KEYS.windows(2) {
            assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
        }
    }
}
