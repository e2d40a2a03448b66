//! Masking and restoring: what is found is replaced where it stood, and the document stays well-formed.

use pintle_llm::{ChatAnswer, ChatRequest, TextField, map_argument_texts};
use serde_json::{Value, json};

const IBAN: &str = "DE89370400440532013000";

/// Masks one value in every text.
fn mask(field: &TextField<'_>) -> Option<String> {
    let masked = field.text().replace(IBAN, "<IBAN_1>").replace("4111111111111111", "<CARD_1>");
    (masked != field.text()).then_some(masked)
}

fn request(message: &Value) -> ChatRequest {
    ChatRequest::parse(json!({"model": "m", "messages": [message]}).to_string().as_bytes()).unwrap()
}

#[track_caller]
fn arguments(before: &str, after: &str) {
    let message = json!({"role": "assistant", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": before}}]});
    let mut request = request(&message);
    request.map_texts(&mut |field| mask(field)).unwrap();
    assert_eq!(request.body()["messages"][0]["tool_calls"][0]["function"]["arguments"], after);
    let streamed = map_argument_texts(before, 0, Some(0), &mut |field| mask(field)).unwrap();
    assert_eq!(streamed.as_deref().unwrap_or(before), after, "streamed as whole");
}

#[test]
fn tool_arguments_are_masked_and_stay_json() {
    arguments(&format!(r#"{{ "to": "{IBAN}" }}"#), r#"{ "to": "<IBAN_1>" }"#);
    arguments(&format!(r#"{{"to":"a\n{IBAN}"}}"#), r#"{"to":"a\n<IBAN_1>"}"#);
    arguments(&format!(r#"{{"{IBAN}":"a\nb"}}"#), r#"{"<IBAN_1>":"a\nb"}"#);
    arguments(r#"{"card": 4111111111111111}"#, r#"{"card":"<CARD_1>"}"#);
    arguments(r#"{"card": 4111111111111111, "x": "\t"}"#, r#"{"card":"<CARD_1>","x":"\t"}"#);
    arguments(&format!("not JSON {IBAN}"), "not JSON <IBAN_1>");
    arguments(r#"{ "spelling":  "k\u0065pt" }"#, r#"{ "spelling":  "k\u0065pt" }"#);
}

#[test]
fn a_restored_value_cannot_break_out_of_its_string() {
    let restore = |field: &TextField<'_>| {
        let restored = field.text().replace("<NAME_1>", r#"O"Neil","admin":"yes"#);
        (restored != field.text()).then_some(restored)
    };
    let restored =
        map_argument_texts(r#"{"name":"<NAME_1>"}"#, 0, Some(0), &mut |f| restore(f)).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&restored).unwrap(), json!({"name": r#"O"Neil","admin":"yes"#}));
}

#[test]
fn two_fields_that_would_become_one_are_an_error() {
    let before = format!(r#"{{"<IBAN_1>":"\n","{IBAN}":1}}"#);
    assert!(map_argument_texts(&before, 0, None, &mut |field| mask(field)).is_err());
}

#[test]
fn the_name_of_a_field_outside_of_arguments_cannot_be_masked() {
    let mut request = ChatRequest::parse(
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "metadata": {IBAN: "x"}})
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    let error = request.map_texts(&mut |field| mask(field)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`metadata.#0`: the name of a field cannot be rewritten; rename the field or leave it out"
    );
}

#[test]
fn every_part_of_a_request_can_be_masked() {
    let mut request = request(
        &json!({"role": "user", "name": IBAN, "account": 4111111111111111_u64, "content": [
        {"type": "text", "text": format!("pay {IBAN}")}, {"type": "image_url", "image_url": {"url": format!("https://x/{IBAN}")}}]}),
    );
    assert_eq!(request.map_texts(&mut |field| mask(field)), Ok(4));
    let sent = String::from_utf8(request.to_openai_body("m", false).to_vec()).unwrap();
    assert!(!sent.contains(IBAN) && sent.contains(r#""account":"<CARD_1>""#), "{sent}");
}

#[test]
fn an_answer_is_masked_with_its_log_probabilities() {
    let mut answer = ChatAnswer::parse(
        json!({"choices": [{"index": 0, "message": {"content": IBAN}, "logprobs": {"content": [{"token": IBAN}]}}]})
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(answer.map_texts(&mut |field| mask(field)), Ok(1));
    answer.strip_logprobs(Some(0));
    assert_eq!(
        &answer.to_bytes()[..],
        br#"{"choices":[{"index":0,"message":{"content":"<IBAN_1>"},"logprobs":null}]}"#
    );
}
