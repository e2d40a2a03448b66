//! The detectors: what they are called, how sensitive their findings are, and where each one looks.
//!
//! Each detector is a function from a [`Probe`] at one position to a [`Hit`] that begins there. The scanner
//! calls [`at_word`] where a word begins and [`at_sign`] at the few signs that can begin a value. Text
//! without digits, `@` and key prefixes never gets further than the first look at each word.

mod contact;
mod digits;
mod national;
mod network;
mod payment;
mod secrets;

use std::sync::Arc;

use pintle_core::DataClass;

use crate::probe::{Probe, REACH, is_word_char};

/// Hits below this confidence, in percent, are not reported.
pub(crate) const CONFIDENCE_MIN: u8 = 60;

/// A detector's place in its guard's list: first the built-in ones, then the dictionaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DetectorId(pub(crate) u16);

/// What a detector finds: for documentation, the console and configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectorInfo {
    /// `iban`, `credit_card`, `dictionary:clients`.
    pub kind: Arc<str>,
    /// The class of its findings, after the configuration's overrides.
    pub class: DataClass,
    /// One sentence fragment: what it looks for and how it is validated.
    pub description: Arc<str>,
    /// Whether the configuration leaves it on.
    pub enabled: bool,
}

/// The built-in detectors. Where two match alike, the earlier one is the more specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Detector {
    PrivateKey,
    Jwt,
    AnthropicKey,
    OpenaiKey,
    AwsAccessKey,
    AwsSecretKey,
    GithubToken,
    GitlabToken,
    SlackToken,
    SlackWebhook,
    StripeKey,
    GoogleApiKey,
    AzureKey,
    SendgridKey,
    TwilioKey,
    NpmToken,
    HuggingfaceToken,
    DatabricksToken,
    DigitaloceanToken,
    PintleKey,
    UrlCredentials,
    CreditCard,
    UsSsn,
    Iban,
    SwiftBic,
    UkNino,
    UkNhs,
    AuTfn,
    AuAbn,
    AuMedicare,
    DeTaxId,
    Email,
    Phone,
    IpAddress,
}

impl Detector {
    pub(crate) const fn id(self) -> DetectorId {
        DetectorId(self as u16)
    }
}

const RESTRICTED: DataClass = DataClass::Restricted;
const CONFIDENTIAL: DataClass = DataClass::Confidential;
const INTERNAL: DataClass = DataClass::Internal;

/// Kind, class and description, in the order of [`Detector`].
pub(crate) const BUILT_IN: &[(Detector, &str, DataClass, &str)] = &[
    (Detector::PrivateKey, "private_key", RESTRICTED, "private key in PEM form (RSA, EC, OpenSSH, PGP)"),
    (Detector::Jwt, "jwt", RESTRICTED, "JSON Web Token whose header decodes and names an algorithm"),
    (Detector::AnthropicKey, "anthropic_key", RESTRICTED, "Anthropic API key (`sk-ant-`)"),
    (Detector::OpenaiKey, "openai_key", RESTRICTED, "API key of OpenAI or a compatible service (`sk-`)"),
    (Detector::AwsAccessKey, "aws_access_key", RESTRICTED, "AWS access key id (`AKIA`, `ASIA`)"),
    (Detector::AwsSecretKey, "aws_secret_key", RESTRICTED, "AWS secret access key next to its name"),
    (Detector::GithubToken, "github_token", RESTRICTED, "GitHub token (`ghp_`, `github_pat_` and others)"),
    (Detector::GitlabToken, "gitlab_token", RESTRICTED, "GitLab token (`glpat-` and others)"),
    (Detector::SlackToken, "slack_token", RESTRICTED, "Slack token (`xoxb-` and others)"),
    (Detector::SlackWebhook, "slack_webhook", RESTRICTED, "Slack incoming webhook"),
    (
        Detector::StripeKey,
        "stripe_key",
        RESTRICTED,
        "Stripe secret or restricted key (`sk_live_`, `rk_live_`)",
    ),
    (Detector::GoogleApiKey, "google_api_key", RESTRICTED, "Google API key (`AIza`)"),
    (
        Detector::AzureKey,
        "azure_key",
        RESTRICTED,
        "Azure account or shared access key in a connection string",
    ),
    (Detector::SendgridKey, "sendgrid_key", RESTRICTED, "SendGrid API key (`SG.`)"),
    (Detector::TwilioKey, "twilio_key", RESTRICTED, "Twilio API key (`SK`) next to the name"),
    (Detector::NpmToken, "npm_token", RESTRICTED, "npm access token (`npm_`)"),
    (Detector::HuggingfaceToken, "huggingface_token", RESTRICTED, "Hugging Face token (`hf_`)"),
    (Detector::DatabricksToken, "databricks_token", RESTRICTED, "Databricks token (`dapi`)"),
    (Detector::DigitaloceanToken, "digitalocean_token", RESTRICTED, "DigitalOcean token (`dop_v1_`)"),
    (Detector::PintleKey, "pintle_key", RESTRICTED, "Pintle's own API key (`pintle_`)"),
    (Detector::UrlCredentials, "url_credentials", RESTRICTED, "user and password inside a URL"),
    (
        Detector::CreditCard,
        "credit_card",
        RESTRICTED,
        "payment card number (issuer's range and length, Luhn)",
    ),
    (Detector::UsSsn, "us_ssn", RESTRICTED, "US social security number (area, group and serial rules)"),
    (Detector::Iban, "iban", CONFIDENTIAL, "IBAN (country's length, mod 97)"),
    (Detector::SwiftBic, "swift_bic", CONFIDENTIAL, "SWIFT/BIC code (country) next to its name or an IBAN"),
    (Detector::UkNino, "uk_nino", CONFIDENTIAL, "UK national insurance number (allowed prefixes)"),
    (Detector::UkNhs, "uk_nhs", CONFIDENTIAL, "UK NHS number (mod 11)"),
    (Detector::AuTfn, "au_tfn", CONFIDENTIAL, "Australian tax file number (mod 11) next to its name"),
    (Detector::AuAbn, "au_abn", INTERNAL, "Australian business number (mod 89); it is on public record"),
    (Detector::AuMedicare, "au_medicare", CONFIDENTIAL, "Australian Medicare number (check digit)"),
    (
        Detector::DeTaxId,
        "de_tax_id",
        CONFIDENTIAL,
        "German tax id (mod 11,10 and digit rule) next to its name",
    ),
    (Detector::Email, "email", CONFIDENTIAL, "e-mail address"),
    (Detector::Phone, "phone", CONFIDENTIAL, "phone number: international, or national next to its name"),
    (Detector::IpAddress, "ip_address", INTERNAL, "IPv4 or IPv6 address, other than loopback"),
];

/// How a match goes on after its recognised beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Not at all: the hit has its full length.
    None,
    /// Letters, digits, `-` and `_`.
    Token,
    /// The same, and single dots between them.
    Dotted,
    /// Up to the `-----END` line.
    Pem,
}

/// What a detector saw at a probe's position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) detector: DetectorId,
    pub(crate) confidence: u8,
    /// Where the value begins, from the probe's position.
    pub(crate) offset: usize,
    /// How long it is, or its recognised beginning is.
    pub(crate) len: usize,
    pub(crate) tail: Tail,
}

impl Hit {
    pub(crate) const fn new(detector: Detector, confidence: u8, len: usize) -> Hit {
        Hit { detector: detector.id(), confidence, offset: 0, len, tail: Tail::None }
    }
}

/// A word at the probe's position: what the first look at it gathers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    pub(crate) first: u8,
    /// In bytes; cut at the probe's reach.
    pub(crate) len: usize,
    /// The byte after it.
    pub(crate) next: u8,
    pub(crate) has_upper: bool,
    pub(crate) has_lower: bool,
    pub(crate) has_digit: bool,
    pub(crate) has_underscore: bool,
    pub(crate) is_ascii: bool,
}

impl Word {
    /// Reads the word at the probe's position. Its length is 0 where none begins.
    pub(crate) fn read(probe: &Probe<'_>) -> Word {
        let mut word = Word {
            first: probe.byte(0),
            len: 0,
            next: 0,
            has_upper: false,
            has_lower: false,
            has_digit: false,
            has_underscore: false,
            is_ascii: true,
        };
        while word.len <= REACH {
            let byte = probe.byte(word.len);
            match byte {
                b'a'..=b'z' => word.has_lower = true,
                b'0'..=b'9' => word.has_digit = true,
                b'A'..=b'Z' => word.has_upper = true,
                b'_' => word.has_underscore = true,
                0x80.. => {
                    let Some((_, len)) = probe.char(word.len).filter(|(c, _)| is_word_char(*c)) else {
                        break;
                    };
                    word.is_ascii = false;
                    word.len += len;
                    continue;
                }
                _ => break,
            }
            word.len += 1;
        }
        word.next = probe.byte(word.len);
        word
    }

    /// Whether the word is at least as long as a detector can see.
    pub(crate) const fn is_cut(&self) -> bool {
        self.len > REACH - 3
    }
}

/// Asks the detectors whose values begin with a letter or digit.
pub(crate) fn at_word(probe: &Probe<'_>, word: &Word, hits: &mut Vec<Hit>) {
    let add = |hits: &mut Vec<Hit>, hit: Option<Hit>| hits.extend(hit);
    if matches!(word.next, b'@' | b'.' | b'+' | b'-' | b'%' | b'\'') {
        add(hits, contact::email(probe, word));
    }
    if secrets::may_begin(word.first) {
        add(hits, secrets::prefixed(probe, word));
    }
    if matches!(word.next, b'/' | b'+') || word.len == 40 {
        add(hits, secrets::aws_secret(probe));
    }
    if word.first.is_ascii_digit() {
        digits::detect(probe, hits);
    } else {
        if word.has_digit || (word.len == 2 && word.has_upper) {
            add(hits, payment::iban(probe, word));
            add(hits, national::nino(probe, word));
        }
        if matches!(word.len, 8 | 11) && !word.has_lower && word.has_upper {
            add(hits, payment::swift_bic(probe, word));
        }
    }
    if word.next == b':' && word.len <= 4 && word.is_ascii {
        add(hits, network::ipv6(probe));
    }
    if probe.back(1) == b'=' {
        add(hits, secrets::azure_key(probe));
    }
}

/// Whether a value may begin at this sign, given the byte after it. A quick look before a probe is made.
pub(crate) const fn may_begin_at_sign(sign: u8, next: u8) -> bool {
    match sign {
        b'+' | b'(' => next.is_ascii_digit(),
        b':' => matches!(next, b'/' | b':' | b'\\'),
        b'-' => next == b'-',
        _ => false,
    }
}

/// Asks the detectors whose values begin with, or right after, a sign.
pub(crate) fn at_sign(probe: &Probe<'_>, hits: &mut Vec<Hit>) {
    let hit = match probe.byte(0) {
        b'+' => contact::international_phone(probe),
        b'(' => contact::national_phone(probe),
        b'-' => secrets::private_key(probe),
        b':' if probe.byte(1) == b':' => {
            if probe.follows_word() || probe.back(1) == b':' {
                None
            } else {
                network::ipv6(probe)
            }
        }
        b':' => network::url_credentials(probe),
        _ => None,
    };
    hits.extend(hit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_detectors() {
        for (index, (detector, kind, ..)) in BUILT_IN.iter().enumerate() {
            assert_eq!(usize::from(detector.id().0), index, "{kind}");
        }
        assert_eq!(BUILT_IN.len(), usize::from(Detector::IpAddress.id().0) + 1);
    }
}
