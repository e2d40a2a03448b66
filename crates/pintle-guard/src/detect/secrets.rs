//! Credentials: private keys, JSON Web Tokens, and the API keys of common services.
//!
//! A key is recognised by its prefix, the form of what follows, and signs of chance in it: documentation is
//! full of keys that are not any. Keys of open length are recognised by their beginning; the scanner
//! then takes in the rest.

use crate::{
    context::{self, Words},
    detect::{Detector, Hit, Tail, Word},
    probe::{Probe, is_word_byte},
};

/// The first bytes of the prefixes below. A quick no for most words.
pub(super) const fn may_begin(first: u8) -> bool {
    matches!(first, b'A' | b'S' | b'a' | b'd' | b'e' | b'g' | b'h' | b'n' | b'p' | b'r' | b's' | b'w' | b'x')
}

/// What follows a prefix.
#[derive(Clone, Copy)]
enum Body {
    /// Exactly this many of the class, then the end of the word.
    Exactly(usize, fn(u8) -> bool),
    /// At least this many of the class; more of [`Tail::Token`] may follow.
    AtLeast(usize, fn(u8) -> bool),
}

struct Prefix {
    text: &'static str,
    detector: Detector,
    body: Body,
}

const fn prefix(text: &'static str, detector: Detector, body: Body) -> Prefix {
    Prefix { text, detector, body }
}

fn alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}
fn token(byte: u8) -> bool {
    is_word_byte(byte) || byte == b'-'
}
fn upper_alnum(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}
fn lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}
fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

use Body::{AtLeast, Exactly};

/// Longer prefixes stand before the ones that they begin with.
const PREFIXES: &[Prefix] = &[
    prefix("sk-ant-", Detector::AnthropicKey, AtLeast(32, token)),
    prefix("sk-proj-", Detector::OpenaiKey, AtLeast(32, token)),
    prefix("sk-svcacct-", Detector::OpenaiKey, AtLeast(32, token)),
    prefix("sk-admin-", Detector::OpenaiKey, AtLeast(32, token)),
    prefix("sk-or-v1-", Detector::OpenaiKey, AtLeast(32, alnum)),
    prefix("sk-", Detector::OpenaiKey, AtLeast(32, alnum)),
    prefix("sk_live_", Detector::StripeKey, AtLeast(16, alnum)),
    prefix("sk_test_", Detector::StripeKey, AtLeast(16, alnum)),
    prefix("rk_live_", Detector::StripeKey, AtLeast(16, alnum)),
    prefix("rk_test_", Detector::StripeKey, AtLeast(16, alnum)),
    prefix("whsec_", Detector::StripeKey, AtLeast(32, alnum)),
    prefix("AKIA", Detector::AwsAccessKey, Exactly(16, upper_alnum)),
    prefix("ASIA", Detector::AwsAccessKey, Exactly(16, upper_alnum)),
    prefix("ABIA", Detector::AwsAccessKey, Exactly(16, upper_alnum)),
    prefix("ACCA", Detector::AwsAccessKey, Exactly(16, upper_alnum)),
    prefix("AIza", Detector::GoogleApiKey, Exactly(35, token)),
    prefix("github_pat_", Detector::GithubToken, AtLeast(50, is_word_byte)),
    prefix("ghp_", Detector::GithubToken, AtLeast(36, alnum)),
    prefix("gho_", Detector::GithubToken, AtLeast(36, alnum)),
    prefix("ghu_", Detector::GithubToken, AtLeast(36, alnum)),
    prefix("ghs_", Detector::GithubToken, AtLeast(36, alnum)),
    prefix("ghr_", Detector::GithubToken, AtLeast(36, alnum)),
    prefix("glpat-", Detector::GitlabToken, AtLeast(20, token)),
    prefix("gldt-", Detector::GitlabToken, AtLeast(20, token)),
    prefix("glrt-", Detector::GitlabToken, AtLeast(20, token)),
    prefix("glptt-", Detector::GitlabToken, AtLeast(40, token)),
    prefix("xoxb-", Detector::SlackToken, AtLeast(30, token)),
    prefix("xoxp-", Detector::SlackToken, AtLeast(30, token)),
    prefix("xoxa-", Detector::SlackToken, AtLeast(30, token)),
    prefix("xoxr-", Detector::SlackToken, AtLeast(30, token)),
    prefix("xoxs-", Detector::SlackToken, AtLeast(30, token)),
    prefix("xoxe-", Detector::SlackToken, AtLeast(30, token)),
    prefix("xoxe.xoxp-", Detector::SlackToken, AtLeast(30, token)),
    prefix("xapp-", Detector::SlackToken, AtLeast(30, token)),
    prefix("npm_", Detector::NpmToken, Exactly(36, alnum)),
    prefix("hf_", Detector::HuggingfaceToken, AtLeast(30, alnum)),
    prefix("dapi", Detector::DatabricksToken, AtLeast(32, lower_hex)),
    prefix("dop_v1_", Detector::DigitaloceanToken, Exactly(64, lower_hex)),
    prefix("doo_v1_", Detector::DigitaloceanToken, Exactly(64, lower_hex)),
    prefix("dor_v1_", Detector::DigitaloceanToken, Exactly(64, lower_hex)),
    prefix("pintle_", Detector::PintleKey, AtLeast(40, is_word_byte)),
];

/// A key that begins with a known prefix.
pub(super) fn prefixed(probe: &Probe<'_>, word: &Word) -> Option<Hit> {
    if !probe.starts_token() {
        return None;
    }
    match word.first {
        b'e' if probe.literal(0, "eyJ") => return jwt(probe),
        b'S' if probe.literal(0, "SG.") => return sendgrid(probe),
        b'S' if word.len == 34 && probe.literal(0, "SK") => return twilio(probe),
        b'h' if word.next == b'.' && probe.literal(0, "hooks.slack.com/services/") => {
            return slack_webhook(probe);
        }
        _ => {}
    }
    // Every prefix either ends in a sign, or its key is one long word.
    if word.len < 20 && !matches!(word.next, b'-' | b'.') {
        return None;
    }
    let prefix = PREFIXES.iter().find(|prefix| probe.literal(0, prefix.text))?;
    let start = prefix.text.len();
    let (len, tail) = match prefix.body {
        Exactly(len, class) => {
            let fits = probe.run(start, len, class) == len && probe.ends_clean(start + len);
            (fits.then_some(len)?, Tail::None)
        }
        AtLeast(len, class) => ((probe.run(start, len, class) == len).then_some(len)?, Tail::Token),
    };
    let body = probe.bytes(start, len);
    if says_it_is_fake(body) || !looks_random(body) || !is_mixed(body) {
        return None;
    }
    Some(Hit { tail, ..Hit::new(prefix.detector, 95, start + len) })
}

/// Whether there are both letters and digits.
fn is_mixed(body: &[u8]) -> bool {
    body.iter().any(u8::is_ascii_digit) && body.iter().any(u8::is_ascii_alphabetic)
}

/// Whether a value names itself as no real one.
pub(super) fn says_it_is_fake(value: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"example",
        b"xxxx",
        b"your",
        b"placeholder",
        b"dummy",
        b"redacted",
        b"changeme",
        b"insert",
        b"****",
        b"....",
    ];
    WORDS.iter().any(|word| value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

/// Not one character over and over, and not the alphabet.
fn looks_random(value: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in value {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    let ascending =
        value.windows(2).filter(|pair| matches!(pair, [a, b] if a.checked_add(1) == Some(*b))).count();
    distinct >= 6 && ascending * 2 < value.len()
}

fn sendgrid(probe: &Probe<'_>) -> Option<Hit> {
    let fits = probe.run(3, 22, token) == 22 && probe.byte(25) == b'.' && probe.run(26, 43, token) == 43;
    let valid = fits
        && probe.ends_clean(69)
        && looks_random(probe.bytes(3, 66))
        && !says_it_is_fake(probe.bytes(3, 66));
    valid.then(|| Hit::new(Detector::SendgridKey, 95, 69))
}

fn twilio(probe: &Probe<'_>) -> Option<Hit> {
    let body = probe.bytes(2, 32);
    let fits = probe.run(2, 32, lower_hex) == 32 && looks_random(body) && !says_it_is_fake(body);
    let named = || context::supports(probe, Detector::TwilioKey, &Words::new(&["twilio"]));
    (fits && named()).then(|| Hit::new(Detector::TwilioKey, 90, 34))
}

fn slack_webhook(probe: &Probe<'_>) -> Option<Hit> {
    let mut offset = "hooks.slack.com/services/".len();
    for first in [b'T', b'B'] {
        let len = probe.run(offset, 16, upper_alnum);
        if probe.byte(offset) != first || len < 8 || probe.byte(offset + len) != b'/' {
            return None;
        }
        offset += len + 1;
    }
    let valid = probe.run(offset, 20, alnum) == 20 && looks_random(probe.bytes(offset, 20));
    let fake = says_it_is_fake(probe.bytes(offset, 20));
    (valid && !fake).then(|| Hit { tail: Tail::Token, ..Hit::new(Detector::SlackWebhook, 95, offset + 20) })
}

/// An AWS secret access key: 40 base64 characters with nothing of their own, so the name has to stand near.
pub(super) fn aws_secret(probe: &Probe<'_>) -> Option<Hit> {
    const WORDS: Words = Words::new(&[
        "aws secret access key",
        "secret access key",
        "secretaccesskey",
        "awssecretaccesskey",
        "aws secret",
        "aws secret key",
        "secret key",
        "awssecretkey",
    ]);
    if base64(probe.back(1)) || probe.run(0, 41, base64) != 40 || !probe.ends_clean(40) {
        return None;
    }
    let body = probe.bytes(0, 40);
    let mixed =
        is_mixed(body) && body.iter().any(u8::is_ascii_uppercase) && body.iter().any(u8::is_ascii_lowercase);
    let valid = mixed && looks_random(body) && !says_it_is_fake(body);
    let named = || {
        context::supports(probe, Detector::AwsSecretKey, &WORDS)
            || probe.neighbour() == Some(Detector::AwsAccessKey.id())
    };
    (valid && named()).then(|| Hit::new(Detector::AwsSecretKey, 90, 40))
}

/// The key in an Azure connection string: 64 bytes for storage, 32 for buses, in base64.
pub(super) fn azure_key(probe: &Probe<'_>) -> Option<Hit> {
    let len = if probe.follows("AccountKey=") {
        86
    } else if probe.follows("SharedAccessKey=") {
        43
    } else {
        return None;
    };
    let body = probe.bytes(0, probe.run(0, len, base64));
    let padding = probe.run(len, 2, |byte| byte == b'=');
    let valid = body.len() == len && padding >= 1 && looks_random(body) && !says_it_is_fake(body);
    valid.then(|| Hit::new(Detector::AzureKey, 95, len + padding))
}

/// How much of a token's header is read: enough for the algorithm and usual ids before it.
const JWT_HEADER_MAX: usize = 112;

/// A JSON Web Token: its header is base64url of a JSON object that names the algorithm.
fn jwt(probe: &Probe<'_>) -> Option<Hit> {
    let class = |byte: u8| is_word_byte(byte) || byte == b'-';
    let len = probe.run(0, JWT_HEADER_MAX, class);
    let mut header = [0_u8; JWT_HEADER_MAX];
    let header = decode_base64url(probe.bytes(0, len), &mut header)?;
    let names = |key: &[u8]| header.windows(key.len()).any(|part| part == key);
    if probe.byte(len) == b'.' {
        let whole = header.ends_with(b"}") && names(b"\"alg\"") && probe.run(len + 1, 10, class) >= 8;
        return whole.then(|| Hit { tail: Tail::Dotted, ..Hit::new(Detector::Jwt, 95, len + 1) });
    }
    // The header goes on beyond what is read; certificates and key ids make it long.
    let long = len == JWT_HEADER_MAX
        && [&b"\"alg\""[..], b"\"kid\"", b"\"x5t", b"\"x5c", b"\"typ\"", b"\"enc\"", b"\"jku\""]
            .iter()
            .any(|key| names(key));
    long.then(|| Hit { tail: Tail::Dotted, ..Hit::new(Detector::Jwt, 85, len) })
}

/// Decodes as many whole bytes as there are. `None` for a character outside of the alphabet.
fn decode_base64url<'o>(text: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let (mut bits, mut held, mut count) = (0_u32, 0_u32, 0);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            *out.get_mut(count)? = u8::try_from(bits >> held & 0xFF).ok()?;
            count += 1;
        }
    }
    out.get(..count)
}

/// The `-----BEGIN … PRIVATE KEY-----` line, with the beginning of a key after it. Prose about such lines has
/// none.
pub(super) fn private_key(probe: &Probe<'_>) -> Option<Hit> {
    const BEGIN: &str = "-----BEGIN ";
    if !probe.literal(0, BEGIN) {
        return None;
    }
    let label_len = probe.run(BEGIN.len(), 40, |byte| upper_alnum(byte) || byte == b' ');
    let label = probe.bytes(BEGIN.len(), label_len);
    let mut offset = BEGIN.len() + label_len;
    if !label.windows(11).any(|part| part == b"PRIVATE KEY") || !probe.literal(offset, "-----") {
        return None;
    }
    offset += 5;
    // Line breaks may be real, escaped as in JSON, or between quoted lines of a program.
    let gap = probe.run(offset, 16, |byte| {
        byte.is_ascii_whitespace() || matches!(byte, b'\\' | b'n' | b'r' | b'"' | b'+')
    });
    let body = offset + gap;
    // An `n` or `r` that the gap took may be the key's first letter; a run of 16 leaves room for that.
    let has_body = probe.run(body, 16, base64) == 16;
    let word = probe.run(body, 12, |byte| byte.is_ascii_alphabetic() || byte == b'-');
    let has_header = word >= 4 && probe.byte(body + word) == b':';
    (has_body || has_header).then(|| Hit { tail: Tail::Pem, ..Hit::new(Detector::PrivateKey, 99, offset) })
}
