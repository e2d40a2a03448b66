//! Valid values of each kind, in texts in which they are found. None belongs to anybody.

use crate::secret;

/// Kind, the text before it, the value.
pub(crate) fn positives() -> Vec<(&'static str, &'static str, String)> {
    let plain: &[(&str, &str, &str)] = &[
        ("email", "write to ", "anna.lind+orders@mail.nordwind.example.org"),
        ("email", "write to ", "o'hara@firm.co.uk"),
        ("email", "mailto:", "x_y@sub.firm.museum"),
        ("email", "an ", "müller@bücher.de"),
        ("phone", "ring ", "+44 20 7946 0958"),
        ("phone", "ring ", "+1 (212) 555-0123"),
        ("phone", "ring ", "+49 (0)30 1234567"),
        ("phone", "ring ", "+33 1 42 68 53 00"),
        ("phone", "ring ", "+61 2 9374 4000"),
        ("phone", "ring ", "+15550123456"),
        ("phone", "Phone: ", "020 7946 0958"),
        ("phone", "my mobile number is ", "0171 1234567"),
        ("phone", "Telefon ", "030/1234567"),
        ("phone", "phone: ", "212-555-0123x44"),
        ("phone", "desk ", "(212) 555-0123"),
        ("phone", "dial ", "0044 20 7946 0958"),
        ("credit_card", "paid with ", "4111 1111 1111 1111"),
        ("credit_card", "paid with ", "4111-1111-1111-1111"),
        ("credit_card", "paid with ", "5555555555554444"),
        ("credit_card", "paid with ", "3782 822463 10005"),
        ("credit_card", "paid with ", "2223003122003222"),
        ("credit_card", "my card ", "30569309025904"),
        ("credit_card", "my card ", "6011111111111117"),
        ("credit_card", "my card ", "3530111333300000"),
        ("credit_card", "card number ", "4222222222222"),
        ("iban", "to ", "DE89 3704 0044 0532 0130 00"),
        ("iban", "to ", "GB82WEST12345698765432"),
        ("iban", "to ", "gb82west12345698765432"),
        ("iban", "to ", "FR14 2004 1010 0505 0001 3M02 606"),
        ("iban", "to ", "NO93 8601 1117 947"),
        ("iban", "to ", "MT84MALT011000012345MTLCAST001S"),
        ("swift_bic", "our BIC is ", "COBADEFFXXX"),
        ("swift_bic", "SWIFT: ", "DEUTDEFF"),
        ("ip_address", "from ", "192.168.17.4"),
        ("ip_address", "server ", "10.1.2.3"),
        ("ip_address", "from ", "2001:db8::8a2e:370:7334"),
        ("ip_address", "from ", "fe80::1"),
        ("url_credentials", "postgres://", "app:s3cr3tPw"),
        ("us_ssn", "id ", "536-90-4399"),
        ("us_ssn", "social security number ", "536904399"),
        ("uk_nino", "id ", "AB123456C"),
        ("uk_nino", "NI number ", "AB 12 34 56 C"),
        ("uk_nhs", "id ", "943 476 5919"),
        ("uk_nhs", "NHS number: ", "9434765919"),
        ("au_tfn", "my TFN is ", "123 456 782"),
        ("au_tfn", "tax file number ", "123456782"),
        ("au_abn", "id ", "51 824 753 556"),
        ("au_abn", "ABN ", "51824753556"),
        ("au_medicare", "id ", "2123 45670 1"),
        ("au_medicare", "Medicare: ", "2123456701"),
        ("de_tax_id", "Steuer-ID: ", "86 095 742 719"),
        ("de_tax_id", "Steueridentifikationsnummer ", "86095742719"),
        ("dictionary:code-names", "about ", "project NIGHTJAR two"),
        ("dictionary:code-names", "about ", "älgmark"),
        ("dictionary:clients", "about ", "Nordwind  AG"),
    ];
    let mut all: Vec<_> =
        plain.iter().map(|(kind, before, value)| (*kind, *before, (*value).to_owned())).collect();
    all.extend(keys());
    all
}

/// Made-up credentials in the form of each service.
fn keys() -> Vec<(&'static str, &'static str, String)> {
    let b62 = "q7Zk2LmX9vTr4WbN8cYd5HsG1fJp6KeA3uRo0QiVwBxMzPnDtCyEgUhIjSlOaF7kT2";
    let hex = "3f9c1b7e5a2d8046c7e1f09b3a5d2c8471e6b09fd3a85c2e7b4610d9f8a3c5e2";
    let cut = |text: &str, len: usize| text[..len].to_owned();
    vec![
        ("openai_key", "key ", secret(&["sk", "-", &cut(b62, 48)])),
        (
            "openai_key",
            "key ",
            secret(&["sk", "-proj-", &cut(b62, 40), "_", &cut(b62, 60), "-", &cut(b62, 40)]),
        ),
        ("anthropic_key", "key ", secret(&["sk", "-ant-api03-", &cut(b62, 60), "-", &cut(b62, 30), "AA"])),
        ("aws_access_key", "key ", secret(&["AK", "IA", "Q3EGWZ7TKNPLX5RD"])),
        (
            "aws_secret_key",
            "aws_secret_access_key = ",
            secret(&["kX9/vTr4+bN8cYd5HsG1", "fJp6KeA3uRo0QiVwBxMz"]),
        ),
        ("github_token", "key ", secret(&["gh", "p_", &cut(b62, 36)])),
        ("github_token", "key ", secret(&["github", "_pat_", &cut(b62, 22), "_", &cut(b62, 59)])),
        ("gitlab_token", "key ", secret(&["gl", "pat-", &cut(b62, 20)])),
        ("slack_token", "key ", secret(&["xo", "xb-2147483650-3918274650123-", &cut(b62, 24)])),
        (
            "slack_webhook",
            "https://",
            secret(&["hooks.slack", ".com/services/T03KL9QX2/B04MN8RW5/", &cut(b62, 24)]),
        ),
        ("stripe_key", "key ", secret(&["sk", "_live_", &cut(b62, 24)])),
        ("stripe_key", "key ", secret(&["rk", "_live_", &cut(b62, 48)])),
        ("google_api_key", "key ", secret(&["AI", "za", &cut(b62, 35)])),
        ("azure_key", "AccountName=x;AccountKey=", secret(&[&cut(b62, 60), "/", &cut(b62, 25), "=="])),
        ("azure_key", "SharedAccessKey=", secret(&[&cut(b62, 43), "="])),
        ("sendgrid_key", "key ", secret(&["SG", ".", &cut(b62, 22), ".", &cut(b62, 43)])),
        ("twilio_key", "twilio key ", secret(&["SK", &cut(hex, 32)])),
        ("npm_token", "key ", secret(&["np", "m_", &cut(b62, 36)])),
        ("huggingface_token", "key ", secret(&["h", "f_", &cut(b62, 34)])),
        ("databricks_token", "key ", secret(&["da", "pi", &cut(hex, 32)])),
        ("digitalocean_token", "key ", secret(&["do", "p_v1_", hex])),
        ("pintle_key", "key ", secret(&["pin", "tle_", &cut(b62, 43)])),
        ("jwt", "Bearer ", jwt()),
        ("private_key", "keep ", pem("RSA PRIVATE KEY")),
        ("private_key", "keep ", pem("OPENSSH PRIVATE KEY")),
        ("private_key", "keep ", pem("PGP PRIVATE KEY BLOCK")),
    ]
}

/// Header `{"alg":"HS256","typ":"JWT"}`.
pub(crate) fn jwt() -> String {
    secret(&[
        "eyJ",
        "hbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ",
        "zdWIiOiJhbm5hIiwiaWF0IjoxNzAwMDAwMDAwfQ.",
        "dGhpcy1pcy1ub3QtYS1zaWduYXR1cmU",
    ])
}

pub(crate) fn pem(label: &str) -> String {
    let line = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\n";
    format!("-----BEGIN {label}-----\n{}-----END {label}-----", line.repeat(6))
}
