//! What users of other guards complained about, each as a test of its own.

use std::sync::Arc;

use pintle_guard::{AnswerWindow, Pseudonyms, Treatment, Treatments};

use crate::{found, guard};

#[test]
fn field_upper_case_word_is_no_licence_and_no_bic() {
    let guard = guard();
    for text in [
        "INTRODUCTORY",
        "swift INTRODUCTORY offer",
        "CHAPTER INTRODUCTORY",
        "ABSOLUTE",
        "SWIFT CODING STANDARD",
    ] {
        assert_eq!(found(&guard, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn field_guid_is_no_phone() {
    let guard = guard();
    let text = "phone record 4f7e1c20-1234-5678-9012-345678901234, call 00000000-0000-0000-0000-000000000000";
    assert_eq!(found(&guard, text), Vec::<String>::new());
}

#[test]
fn field_lic_inside_public_is_no_context() {
    let guard = guard();
    // "tin" in "continuing", "ni" in "unite", "tel" in "hotel", "abn" in "abnormal", "cc" in "account".
    for text in [
        "continuing 86095742719",
        "unite AB123456",
        "hotel 020 7946 0958",
        "abnormal 51824753556",
        "account 4222222222222",
        "republic 123456782",
    ] {
        assert_eq!(found(&guard, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn field_plain_words_and_camel_case_are_no_secrets() {
    let guard = guard();
    for text in [
        "the secret key to happiness is patience",
        "secretAccessKey = getSecretAccessKeyFromVaultOrEnvironmentX",
        "sk-danish-and-swedish-languages-and-their-history",
        "ghp_is_a_prefix_of_github_personal_access_tokens",
    ] {
        assert_eq!(found(&guard, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn field_two_requests_never_mix_their_values() {
    let guard = guard();
    let replace = |text: &str| {
        let mut pseudonyms = Pseudonyms::new();
        pseudonyms.reserve_from(text);
        let out = pseudonyms.replace(text, &guard.scan(text), |_| true);
        (pseudonyms, out)
    };
    let (first, first_text) = replace("pay DE89370400440532013000");
    let (second, second_text) = replace("pay GB82WEST12345698765432");
    assert_eq!(first_text, second_text);
    assert_eq!(first.restore("<IBAN_1>"), "DE89370400440532013000");
    assert_eq!(second.restore("<IBAN_1>"), "GB82WEST12345698765432");
    assert_eq!(second.restore("<IBAN_2>"), "<IBAN_2>");
}

#[test]
fn field_value_split_over_two_chunks_does_not_leak() {
    let treatments = Treatments::new([Treatment::Mask; 4]);
    let value = "DE89370400440532013000";
    for at in 1..value.len() {
        let mut window = AnswerWindow::new(Arc::clone(&guard()), treatments);
        let mut out = String::new();
        window.push("Your IBAN is ", &mut out);
        window.push(&value[..at], &mut out);
        assert_eq!(out, "Your IBAN is ", "split at {at}");
        window.push(&value[at..], &mut out);
        window.push(" today.", &mut out);
        window.finish(&mut out);
        assert_eq!(out, "Your IBAN is [MASKED:IBAN] today.", "split at {at}");
    }
}
