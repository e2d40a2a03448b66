//! I5: streamed = whole.

use std::sync::Arc;

use pintle_guard::{AnswerWindow, Guard, HOLD_BACK_BYTES_MAX, Match, Treatment, Treatments, mask};
use proptest::prelude::*;

use crate::{guard, samples};

/// Pieces that texts are put together from: values, near misses, prose, signs.
fn pieces() -> Vec<String> {
    let mut pieces: Vec<String> = samples::positives().into_iter().map(|(_, _, value)| value).collect();
    pieces.extend(samples::positives().into_iter().map(|(_, before, value)| format!("{before}{value}")));
    let others = [
        "the quick brown fox",
        "TFN",
        "phone",
        "card no.",
        "IBAN",
        "BIC",
        "é",
        "„Grüße“",
        "卡号",
        "🙂",
        "4111",
        "1111 1111",
        "DE89",
        "3704 0044",
        "12",
        "0",
        "+",
        "-",
        ".",
        ":",
        "://",
        "@",
        "\\n",
        "\\u00e9",
        "\\",
        "[",
        "<",
        "[MASKED:",
        "]",
        "[MASKED:IBAN]",
        "<EMAIL_1>",
        "<EMAIL_",
        "-----BEGIN ",
        "-----END",
        "-----",
        "PRIVATE KEY-----",
        "eyJ",
        "sk-",
        "_",
        "blue",
        "Project",
        "Nightjar",
        "heron",
        "2001:",
        "::",
        "10.0.0.",
        "version",
        "firm.org",
        "anna@",
        "user:pw@",
        "a",
        "AccountKey=",
        "(",
        ")",
        "x12",
        "\u{A0}",
        "’s",
        "aws_secret_access_key=",
        "550e8400-e29b-41d4-a716-446655440000",
    ];
    pieces.extend(others.iter().map(|piece| (*piece).to_owned()));
    pieces
}

/// Random texts, with and without separators between the pieces.
pub(crate) fn texts() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![6 => prop::sample::select(pieces()), 1 => "[ -~é€]{0,12}", 1 => "[0-9 .+-]{0,20}"];
    let gap = prop::sample::select(vec![" ", " ", " ", "", "", ", ", "\n", "-", ".", "_", ": "]);
    prop::collection::vec((piece, gap), 0..10)
        .prop_map(|parts| parts.into_iter().map(|(piece, gap)| piece + gap).collect())
}

fn treatments() -> [Treatments; 3] {
    [
        Treatments::PASS,
        Treatments::new([Treatment::Mask; 4]),
        Treatments::mask_from(pintle_core::DataClass::Restricted),
    ]
}

fn streamed(guard: &Arc<Guard>, treatments: Treatments, pieces: &[&str]) -> (String, Vec<Match>) {
    let mut window = AnswerWindow::new(Arc::clone(guard), treatments);
    let mut out = String::new();
    for piece in pieces {
        window.push(piece, &mut out);
        assert!(window.held() <= HOLD_BACK_BYTES_MAX, "holds {} bytes back", window.held());
    }
    window.finish(&mut out);
    assert_eq!(window.held(), 0);
    (out, std::mem::take(window.findings()))
}

fn check(guard: &Arc<Guard>, text: &str, pieces: &[&str]) {
    let whole = guard.scan(text);
    for treatments in treatments() {
        let masked = mask(text, &whole, |found| treatments.masks(found));
        let (out, findings) = streamed(guard, treatments, pieces);
        assert_eq!(findings, whole, "findings of {pieces:?}");
        assert_eq!(out, masked, "text of {pieces:?}");
    }
}

fn check_every_split(guard: &Arc<Guard>, text: &str) {
    for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        let (head, tail) = text.split_at(at);
        check(guard, text, &[head, tail]);
    }
    let single: Vec<String> = text.chars().map(String::from).collect();
    check(guard, text, &single.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn i5_streamed_equals_whole_for_every_split() {
    let guard = guard();
    for (_, before, value) in samples::positives() {
        check_every_split(
            &guard,
            &format!("We {before}{value}. Then {before}{value}@db.firm.org, and so on."),
        );
        check_every_split(&guard, &format!("{value}{value} {value}"));
    }
    const { assert!(HOLD_BACK_BYTES_MAX <= 256) };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i5_holds_for_random_texts(text in texts()) {
        check_every_split(&guard(), &text);
    }

    #[test]
    fn i5_holds_for_random_pieces(text in texts(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut cuts: Vec<usize> =
            cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
        cuts.sort_unstable();
        cuts.push(text.len());
        let mut from = 0;
        let pieces: Vec<&str> = cuts.iter().map(|to| { let piece = &text[from..*to]; from = *to; piece }).collect();
        check(&guard(), &text, &pieces);
    }
}

#[test]
fn prose_flows_with_a_word_of_delay() {
    let mut window = AnswerWindow::new(guard(), Treatments::new([Treatment::Mask; 4]));
    let mut out = String::new();
    let prose =
        "The review was moved to Thursday, because two people (from finance) are away; nobody minded. ";
    for c in prose.repeat(4).chars() {
        window.push(c.encode_utf8(&mut [0; 4]), &mut out);
        assert!(window.held() <= "Thursday".len() + 2, "{} after {out}", window.held());
    }
}

#[test]
fn a_private_key_shows_its_mask_at_once() {
    let mut window = AnswerWindow::new(guard(), Treatments::new([Treatment::Mask; 4]));
    let mut out = String::new();
    let pem = samples::pem("RSA PRIVATE KEY");
    window.push("Here: ", &mut out);
    window.push(&pem[..120], &mut out);
    assert_eq!(out, "Here: [MASKED:PRIVATE_KEY]");
    window.push(&pem[120..], &mut out);
    window.push("\nDone.", &mut out);
    window.finish(&mut out);
    assert_eq!(out, "Here: [MASKED:PRIVATE_KEY]\nDone.");
    assert_eq!(window.findings()[0].end, 6 + pem.len());
}
