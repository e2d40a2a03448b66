//! Each detector: what it finds, and the near misses that it leaves.

use std::collections::BTreeSet;

use pintle_core::DataClass;
use pintle_guard::{Dictionary, Guard, GuardConfig, GuardError};

use crate::{found, guard, samples, secret};

#[test]
fn each_sample_is_found_exactly() {
    let guard = guard();
    for (kind, before, value) in samples::positives() {
        let host = if kind == "url_credentials" { "@db.firm.org" } else { "" };
        for after in ["", " now", ", and", ".", "\n", ")", "\"", "。"] {
            let text = format!("We {before}{value}{host}{after}");
            assert_eq!(found(&guard, &text), [format!("{kind}={value}")], "{text}");
        }
    }
}

#[test]
fn every_built_in_detector_has_a_sample() {
    let guard = guard();
    let sampled: BTreeSet<_> = samples::positives().iter().map(|(kind, ..)| (*kind).to_owned()).collect();
    let known: BTreeSet<_> = guard.detectors().map(|info| info.kind.to_string()).collect();
    assert_eq!(sampled, known);
    assert!(guard.detectors().all(|info| info.enabled && !info.description.is_empty()));
}

#[test]
fn values_begin_after_signs_and_in_scripts_without_spaces() {
    let guard = guard();
    for before in ["(", "\"", "'", "=", ":", "\t", ">", "、", "卡号", "“", "\u{A0}", "\\n", "\\u0020", "|"]
    {
        for value in ["4111 1111 1111 1111", "DE89370400440532013000", "anna@firm.org", "+442079460958"] {
            let text = format!("x{before}{value}");
            assert_eq!(found(&guard, &text).len(), 1, "{text}");
        }
    }
}

/// Nothing in these is a value, or is surely one.
#[test]
fn near_misses_are_left() {
    let guard = guard();
    let near_misses = [
        // wrong check digits
        "card 4111 1111 1111 1112",
        "card 4111111111111112",
        "IBAN DE89 3704 0044 0532 0130 01",
        "NHS number 943 476 5918",
        "TFN 123 456 783",
        "ABN 51 824 753 557",
        "Medicare 2123 45671 1",
        "Steuer-ID 86 095 742 718",
        // right check digit, no such issuer, country or area
        "card 9111 1111 1111 1111",
        "card 0000 0000 0000 0000",
        "IBAN ZZ89 3704 0044 0532 0130 00",
        "SSN 000-12-3456",
        "SSN 666-12-3456",
        "SSN 900-12-3456",
        "SSN 123-00-4567",
        "SSN 123-45-0000",
        "SSN 078-05-1120",
        "NI number QQ123456C",
        "NI number BG123456A",
        "AB123456E",
        "AB123456",
        // weak shapes without their names
        "total 123 456 782",
        "order 9434765919",
        "order 51824753556",
        "order 2123456701",
        "ref 86095742719",
        "order 536904399",
        "stamp 4222222222222",
        "part 020 7946 0958",
        "DEUTDEFF went",
        "x 10 DE",
        // inside of longer things
        "id 550e8400-e29b-41d4-a716-446655440000",
        "4111111111111111a",
        "a4111111111111111",
        "x_4111111111111111",
        "94111111111111111",
        "4111111111111111-22",
        "1.4111111111111111",
        "commit 9434765919abcdef536904399abcd",
        "d41d8cd98f00b204e9800998ecf8427e",
        "ab+cd/4111111111111111x",
        // dates, times, amounts, versions, addresses that are none
        "phone on 2024-01-15",
        "tel 20240115",
        "phone 12.05.2024",
        "tel 2019-2024",
        "phone $1234567",
        "phone 1234567.89",
        "version 1.2.3.4",
        "v 2.10.44.7",
        "1.2.3.4",
        "release 192.168.0.1 notes",
        "1.2.3.4.5",
        "256.1.1.1",
        "127.0.0.1",
        "0.0.0.0",
        "::1",
        "at 12:30:45",
        "00:1a:2b:3c:4d:5e",
        "a::b",
        "std::fmt::Display",
        "dead::beef",
        "Vec::<u8>::new()",
        "10.0.0.1-beta",
        // addresses of nothing
        "user@localhost",
        "@mention",
        "a@b",
        "logo@2x.png",
        "pkg@1.2.3",
        "see @ noon",
        "x@-a.de",
        "foo@bar.c",
        "https://host/a:b@c",
        "https://user@host/",
        "https://user:@host/",
        "http://host:80/x",
        "postgres://user:password@host/db",
        "postgres://user:${PASSWORD}@host/db",
        "redis://a:****@host",
        // numbers that are no phone's
        "+12345",
        "+999 123 456 789 00",
        "1+44 20 7946 0958x",
        "+1 212 555 01",
        "(555) 123-4567x",
        "call 12345",
        "call me in 2024 or 2025",
        "phones 1111111111",
    ];
    let wrong: Vec<_> =
        near_misses.iter().map(|text| (text, found(&guard, text))).filter(|w| !w.1.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn documentation_keys_are_no_keys() {
    let guard = guard();
    let stand_ins = [
        secret(&["AK", "IAIOSFODNN7EXAMPLE"]),
        secret(&["aws secret key wJalrXUtnFEMI/K7MDENG", "/bPxRfiCYEXAMPLEKEY"]),
        secret(&["sk", "-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]),
        secret(&["sk", "-your-key-here-your-key-here-your-key-here"]),
        secret(&["sk", "-proj-your-api-key-goes-in-this-place-1234"]),
        secret(&["gh", "p_000000000000000000000000000000000000"]),
        secret(&["gh", "p_abcdefghijklmnopqrstuvwxyz0123456789"]),
        "sk-learn-compatible-estimators-and-transformers".to_owned(),
        "pintle_gateway_connectors_and_upstreams_are_here".to_owned(),
        "npm_config_registry_and_other_settings_of_it".to_owned(),
        "AKIA is a prefix".to_owned(),
        "eyJhbGciOiJI is cut".to_owned(),
        "eyJub3QiOiJhIGhlYWRlciJ9.eyJub3QiOiJhIGhlYWRlciJ9.c2ln".to_owned(),
        "look for -----BEGIN PRIVATE KEY----- in the file".to_owned(),
        "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n"
            .to_owned(),
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n".to_owned(),
        "SK3f9c1b7e5a2d8046c7e1f09b3a5d2c84 without a name".to_owned(),
    ];
    for text in stand_ins {
        assert_eq!(found(&guard, &text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_key_is_taken_to_its_end() {
    let guard = guard();
    let long = secret(&["sk", "-proj-", &"q7Zk2LmX9vTr4WbN8cYd".repeat(40)]);
    assert_eq!(found(&guard, &format!("key={long}; next")), [format!("openai_key={long}")]);
    let jwt = samples::jwt();
    assert_eq!(found(&guard, &format!("{jwt}. Next")), [format!("jwt={jwt}")]);
    let long_header =
        secret(&["eyJ", "hbGciOiJSUzI1NiIsIng1YyI6Wy", &"J0aGlzIGlzIGEgY2Vy".repeat(40), ".eyJzdWIi.c2ln"]);
    assert_eq!(found(&guard, &long_header), [format!("jwt={long_header}")]);
    let pem = samples::pem("EC PRIVATE KEY");
    let escaped = pem.replace('\n', "\\n");
    for text in [&pem, &escaped] {
        let json = format!("{{\"key\":\"{text}\\n\",\"to\":\"anna@firm.org\"}}");
        assert_eq!(found(&guard, &json), [format!("private_key={text}"), "email=anna@firm.org".to_owned()]);
    }
}

#[test]
fn an_unfinished_private_key_is_taken_to_a_bound() {
    let guard = guard();
    let pem = samples::pem("RSA PRIVATE KEY");
    let cut = &pem[..200];
    assert_eq!(found(&guard, cut), [format!("private_key={cut}")]);
    let endless = format!("{cut}{}", "é\n".repeat(20_000));
    let matches = guard.scan(&endless);
    assert_eq!(matches.len(), 1);
    assert!((16_384..16_390).contains(&matches[0].end), "{}", matches[0].end);
}

#[test]
fn context_raises_confidence_and_reaches_64_bytes() {
    let guard = guard();
    let confidence = |text: &str| guard.scan(text).first().map(|found| found.confidence);
    assert_eq!(confidence("536-90-4399"), Some(75));
    assert_eq!(confidence("SSN 536-90-4399"), Some(95));
    assert_eq!(confidence("4111111111111111"), Some(75));
    assert_eq!(confidence("Visa 4111111111111111"), Some(95));
    assert_eq!(confidence(&format!("TFN {} 123456782", "a".repeat(50))), Some(90));
    assert_eq!(confidence(&format!("TFN {} 123456782", "a".repeat(80))), None);
}

#[test]
fn a_list_shares_its_context() {
    let guard = guard();
    let text = "TFNs: 123 456 782, 123 456 782 and 123 456 782";
    assert_eq!(found(&guard, text).len(), 3);
    let text = "Wire to DE89370400440532013000 (COBADEFFXXX)";
    assert_eq!(found(&guard, text), ["iban=DE89370400440532013000", "swift_bic=COBADEFFXXX"]);
}

#[test]
fn dictionaries_match_whole_words_in_any_case() {
    let guard = guard();
    assert_eq!(found(&guard, "blue\n  heron"), ["dictionary:code-names=blue\n  heron"]);
    assert_eq!(found(&guard, "project nightjar twofold"), ["dictionary:code-names=project nightjar"]);
    assert_eq!(
        found(&guard, "heron_db and HERON's"),
        ["dictionary:clients=heron", "dictionary:clients=HERON"]
    );
    assert_eq!(found(&guard, "my_heron_db"), ["dictionary:clients=heron"]);
    assert_eq!(found(&guard, "ÄLGMARK"), ["dictionary:code-names=ÄLGMARK"]);
    assert_eq!(found(&guard, "これは青い鳥計画です"), ["dictionary:code-names=青い鳥計画"]);
    for text in ["herons", "heronry", "Nordwind A", "Nordwind AGs", "älgmarken", "blueheron", "heronö"] {
        assert_eq!(found(&guard, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn overlapping_matches_become_one_of_the_most_severe_class() {
    let guard = guard();
    // The address contains a client's name; the whole is confidential.
    let text = "mail heron@firm.org now";
    let matches = guard.scan(text);
    assert_eq!(matches.len(), 1);
    assert_eq!(&text[matches[0].start..matches[0].end], "heron@firm.org");
    // "Blue Heron" is restricted, "heron@…" is not: the union is.
    let text = "Blue Heron@firm.org";
    let matches = guard.scan(text);
    assert_eq!(matches.len(), 1);
    assert_eq!(&text[matches[0].start..matches[0].end], text);
    assert_eq!(matches[0].class, DataClass::Restricted);
    assert_eq!(&*matches[0].kind, "dictionary:code-names");
    // A password that is itself a key.
    let key = secret(&["gh", "p_q7Zk2LmX9vTr4WbN8cYd5HsG1fJp6KeA3uRo"]);
    let text = format!("https://bot:{key}@git.firm.org/x");
    let union: String = guard.scan(&text).iter().map(|found| &text[found.start..found.end]).collect();
    assert_eq!(union, format!("bot:{key}"));
}

#[test]
fn classes_can_be_overridden_and_detectors_left_out() {
    let config = GuardConfig {
        classes: [("ip_address".to_owned(), DataClass::Restricted)].into(),
        disabled: ["email".to_owned()].into(),
        ..GuardConfig::default()
    };
    let guard = Guard::new(&config).unwrap();
    let matches = guard.scan("anna@firm.org at 192.168.17.4");
    assert_eq!(matches.len(), 1);
    assert_eq!(matches[0].class, DataClass::Restricted);
    assert!(guard.detectors().any(|info| &*info.kind == "email" && !info.enabled));
}

#[test]
fn a_wrong_configuration_is_refused_with_a_hint() {
    let disabled = |kind: &str| GuardConfig { disabled: [kind.to_owned()].into(), ..GuardConfig::default() };
    let error = Guard::new(&disabled("ibans")).unwrap_err();
    assert_eq!(error.to_string(), "`ibans` is not a detector; hint: use one of `iban`");
    let name = || "clients".parse().unwrap();
    let twice = GuardConfig {
        dictionaries: vec![
            Dictionary { name: name(), class: DataClass::Internal, entries: vec!["abc".into()] },
            Dictionary { name: name(), class: DataClass::Internal, entries: vec![] },
        ],
        ..GuardConfig::default()
    };
    assert!(matches!(Guard::new(&twice), Err(GuardError::SameName { .. })));
    let short = GuardConfig {
        dictionaries: vec![Dictionary {
            name: name(),
            class: DataClass::Internal,
            entries: vec!["ab".into()],
        }],
        ..GuardConfig::default()
    };
    assert!(matches!(Guard::new(&short), Err(GuardError::ShortEntry { line: 1, .. })));
}
