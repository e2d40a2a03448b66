//! JSONL: a record per line, each a document. Reads `text`, and `messages` as chat interfaces write them.

use std::{borrow::Cow, path::Path};

use serde::Deserialize;

use super::{
    super::{
        read::{Bounds, Halt, each_line},
        report::{Left, Reason},
        text::tidy,
    },
    Take,
};

pub(super) fn documents(path: &Path, bounds: Bounds<'_>, take: &mut Take<'_>) -> Result<(), Halt> {
    let mut has_any = false;
    each_line(path, bounds, &mut |number, line| {
        if line.as_ref().is_ok_and(|line| line.trim().is_empty()) {
            return Ok(());
        }
        has_any = true;
        take(Some(number), line.and_then(document))
    })?;
    if has_any { Ok(()) } else { Err(Halt::left(Reason::Empty, "has no records")) }
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    messages: Option<Vec<Message<'a>>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    /// `null` where an assistant only calls a tool.
    #[serde(default)]
    content: Option<Content<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    text: Option<Cow<'a, str>>,
}

fn document(line: &str) -> Result<String, Left> {
    let malformed = |because: String| Left::new(Reason::Malformed, because);
    // The parser's own messages may quote the line, so only their place is told.
    let record: Record<'_> = serde_json::from_str(line).map_err(|error| {
        let column = error.column();
        malformed(match error.classify() {
            serde_json::error::Category::Data => {
                format!("is no JSON object with a `text` or `messages` of the known form (column {column})")
            }
            _ => format!("is not JSON (column {column})"),
        })
    })?;
    match (record.text, record.messages) {
        (Some(text), _) => Ok(tidy(&text)),
        (None, Some(messages)) => conversation(&messages),
        (None, None) => Err(malformed("has neither `text` nor `messages`".to_owned())),
    }
}

/// A conversation as text: a paragraph per message, which begins with who says it.
fn conversation(messages: &[Message<'_>]) -> Result<String, Left> {
    let mut out = String::new();
    for message in messages {
        let speaker = match &*message.role {
            "system" | "developer" => "System",
            "user" => "User",
            "assistant" => "Assistant",
            "tool" | "function" => "Tool",
            _ => return Err(Left::new(Reason::Malformed, "has a message of an unknown role")),
        };
        let mut text = String::new();
        match &message.content {
            None => {}
            Some(Content::Text(content)) => text.push_str(content),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    let Some(content) = part.text.as_ref().filter(|_| part.kind == "text") else {
                        let because = "has a message with a part that is not text";
                        return Err(Left::new(Reason::Malformed, because));
                    };
                    text.push_str(content);
                    text.push('\n');
                }
            }
        }
        let text = tidy(&text);
        if !text.trim().is_empty() {
            out.push_str(speaker);
            out.push_str(": ");
            out.push_str(text.trim_start());
            out.push_str("\n\n");
        }
    }
    Ok(tidy(&out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_text() {
        assert_eq!(document(r#"{"id":7,"text":"a\r\nb"}"#).unwrap(), "a\nb");
        let chat = r#"{"messages":[{"role":"system","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"How many?"}]},
            {"role":"assistant","content":null,"tool_calls":[]},
            {"role":"assistant","content":"Two.\n\nOr \"three\"."}]}"#;
        let text = "System: Be brief.\n\nUser: How many?\n\nAssistant: Two.\n\nOr \"three\".";
        assert_eq!(document(chat).unwrap(), text);
    }

    #[test]
    fn what_is_wrong_is_said_and_not_quoted() {
        for (line, said) in [
            ("{\"text\":", "not JSON"),
            ("secret words", "not JSON"),
            ("[\"secret\"]", "no JSON object"),
            (r#"{"text":["secret"]}"#, "no JSON object"),
            (r#"{"prompt":"secret"}"#, "neither"),
            (r#"{"messages":[{"role":"secret","content":"x"}]}"#, "unknown role"),
            (r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#, "not text"),
            (r#"{"text":"a","text":"secret"}"#, "no JSON object"),
        ] {
            let left = document(line).unwrap_err();
            assert!(left.because.contains(said), "{line}: {}", left.because);
            assert!(!left.because.contains("secret"), "{}", left.because);
        }
    }
}
