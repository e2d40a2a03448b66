//! One request × each dialect, and what the guard sees of it.

use std::fmt::Write;

use pintle_llm::{ChatRequest, FieldKind};

use crate::{files, pretty};

#[test]
fn each_request_in_each_dialect() {
    for (name, bytes) in files("requests", "json") {
        let request = ChatRequest::parse(&bytes).unwrap();
        let mut page = format!("== openai ==\n{}\n", pretty(&request.to_openai_body("placed-model", true)));
        match request.to_anthropic_body("claude", 4_096) {
            Ok(body) => write!(page, "== anthropic ==\n{}\n", pretty(&body)).unwrap(),
            Err(error) => {
                let param = error.param().unwrap_or("none");
                writeln!(page, "== anthropic ==\n{} ({param}): {error}", error.code()).unwrap();
            }
        }
        writeln!(page, "== texts ==").unwrap();
        request.for_each_text(&mut |field| {
            let kind = match field.kind() {
                FieldKind::Value => "",
                FieldKind::Key => " (key)",
                FieldKind::Number => " (number)",
            };
            writeln!(page, "{}{kind} = {:?}", field.path(), field.text()).unwrap();
        });
        for part in request.unscannable_parts() {
            writeln!(page, "{} is unscannable: {}", part.place.path, part.what).unwrap();
        }
        writeln!(page, "about {} input tokens", request.estimate_input_tokens()).unwrap();
        insta::assert_snapshot!(format!("request_{name}"), page);
    }
}

#[test]
fn what_is_not_rewritten_is_sent_as_it_came() {
    for (name, bytes) in files("requests", "json") {
        let request = ChatRequest::parse(&bytes).unwrap();
        let sent: serde_json::Value =
            serde_json::from_slice(&request.to_openai_body(request.model(), false)).unwrap();
        let came: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(sent.to_string(), came.to_string(), "{name}: order and unknown fields included");
    }
}
