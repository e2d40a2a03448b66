//! Money (I9): checked integers from end to end.
//!
//! An [`Amount`] is an `i64` count of nano-units (10⁻⁹) of the ledger's one currency; a [`Price`] is
//! nano-units per million tokens. Products are taken in `i128` and rounded up once, at the end, so
//! that no sum of roundings drifts and nothing is ever rounded in the payer's favour. An overflow is
//! an error, never a clamp.

use std::{fmt, str::FromStr};

use crate::text::{ParseError, text_newtype};

const NANOS_PER_UNIT: i64 = 1_000_000_000;
const TOKENS_PER_PRICE_UNIT: i128 = 1_000_000;
const MICROS_PER_HOUR: i128 = 3_600_000_000;

/// An arithmetic step that has no answer within `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount of money is too large to count")]
pub struct MoneyError;

/// An amount of money in nano-units of the ledger's currency.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Amount(i64);

impl Amount {
    /// No money.
    pub const ZERO: Amount = Amount(0);

    /// The amount with this many nano-units.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Amount(nanos)
    }

    /// The count of nano-units.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError`] when it leaves `i64`.
    pub fn plus(self, other: Amount) -> Result<Amount, MoneyError> {
        self.0.checked_add(other.0).map(Amount).ok_or(MoneyError)
    }

    /// The difference; it may be negative.
    ///
    /// # Errors
    /// [`MoneyError`] when it leaves `i64`.
    pub fn minus(self, other: Amount) -> Result<Amount, MoneyError> {
        self.0.checked_sub(other.0).map(Amount).ok_or(MoneyError)
    }

    /// What so much time costs where this amount is the price of an hour: rounded up once, never in the payer's favour.
    ///
    /// # Errors
    /// [`MoneyError`] when it leaves `i64`.
    pub fn for_time(self, time: std::time::Duration) -> Result<Amount, MoneyError> {
        let micros = i128::try_from(time.as_micros()).map_err(|_| MoneyError)?;
        let product = i128::from(self.0).checked_mul(micros).ok_or(MoneyError)?;
        let rounded =
            product.div_euclid(MICROS_PER_HOUR) + i128::from(product.rem_euclid(MICROS_PER_HOUR) != 0);
        i64::try_from(rounded).map(Amount).map_err(|_| MoneyError)
    }

    /// The amount as people write it, with the currency's sign or code: `€412.00`, `CHF 0.0042`. Small
    /// amounts keep two significant digits, so that the cost of one request never reads as zero. What lies
    /// below the last digit shown is rounded, half away from zero: this is for reading, not for reckoning.
    #[must_use]
    pub fn display(self, currency: &Currency) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let figure = format_nanos(self.0.unsigned_abs());
        match currency.sign() {
            Some(symbol) => format!("{sign}{symbol}{figure}"),
            None => format!("{sign}{currency} {figure}"),
        }
    }

    /// How full a limit is, in whole percent, rounded down, for people to read. `None` without a limit.
    #[must_use]
    pub fn percent_of(self, limit: Amount) -> Option<u32> {
        if limit.0 <= 0 {
            return None;
        }
        let percent = i128::from(self.0.max(0)) * 100 / i128::from(limit.0);
        u32::try_from(percent).ok()
    }
}

/// Digits of an amount, rounded half up: two decimals from 1 upwards; below that, down to the second
/// significant digit.
fn format_nanos(nanos: u64) -> String {
    let unit = NANOS_PER_UNIT.unsigned_abs();
    let last_shown = 10_u64.pow(9 - decimals(nanos));
    // INVARIANT: an amount's nano-units are at most 2⁶³, so half a cent more stays within `u64`.
    let rounded = (nanos + last_shown / 2) / last_shown * last_shown;
    // A carry may need a digit fewer: 0.0999 reads 0.10, not 0.100.
    let decimals = decimals(rounded);
    let (whole, fraction) = (rounded / unit, rounded % unit);
    let digits = fraction / 10_u64.pow(9 - decimals);
    format!("{}.{digits:0width$}", group_thousands(whole), width = usize::try_from(decimals).unwrap_or(9))
}

/// How many decimals are shown of an amount, from 2 to 9.
fn decimals(nanos: u64) -> u32 {
    match nanos.checked_ilog10() {
        // Nine decimals in all: the first significant one is the `9 - power`th, and one more is shown.
        Some(power @ 0..=8) => (10 - power).clamp(2, 9),
        _ => 2,
    }
}

fn group_thousands(whole: u64) -> String {
    let digits = whole.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl FromStr for Amount {
    type Err = ParseError;

    /// A decimal such as `1000`, `0.25` or `-3`, of at most nine decimals.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |hint: &str| ParseError::new(text, "an amount of money", hint);
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || digits.ends_with('.') {
            return Err(bad("write a decimal such as `1000` or `0.25`, without thousands separators"));
        }
        if fraction.len() > 9 {
            return Err(bad("use at most nine decimals"));
        }
        let too_large = || bad("it is too large; the ledger counts up to about 9.2 billion");
        let whole: i64 = whole.parse().map_err(|_| too_large())?;
        let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| too_large())?;
        let total = whole
            .checked_mul(NANOS_PER_UNIT)
            .and_then(|value| value.checked_add(nanos))
            .ok_or_else(too_large)?;
        Ok(Amount(if negative { -total } else { total }))
    }
}

/// The plain decimal, without currency: `1000`, `0.25`. Parses back to the same amount.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let unit = NANOS_PER_UNIT.unsigned_abs();
        let fraction = format!("{:09}", nanos % unit);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() {
            f.pad(&format!("{sign}{}", nanos / unit))
        } else {
            f.pad(&format!("{sign}{}.{fraction}", nanos / unit))
        }
    }
}

/// A price: nano-units of the ledger's currency per million tokens. Never negative. In text and in
/// configuration it is a decimal per million tokens, written as a string, so that no float touches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

impl Price {
    /// Free of charge: a price, not the absence of one.
    pub const FREE: Price = Price(0);

    /// The price of that many nano-units per million tokens; `None` when negative.
    #[must_use]
    pub const fn from_nanos_per_million(nanos: i64) -> Option<Self> {
        if nanos < 0 { None } else { Some(Price(nanos)) }
    }

    /// Nano-units per million tokens.
    #[must_use]
    pub const fn nanos_per_million(self) -> i64 {
        self.0
    }

    /// Price × tokens, not yet divided by a million: the terms of a cost are added up in this form
    /// and rounded once, by [`Price::round_up`].
    #[must_use]
    pub fn times(self, tokens: u64) -> i128 {
        i128::from(self.0) * i128::from(tokens)
    }

    /// Divides a sum of [`Price::times`] terms by a million, rounding up.
    ///
    /// # Errors
    /// [`MoneyError`] when the result leaves `i64`.
    pub fn round_up(sum: i128) -> Result<Amount, MoneyError> {
        let rounded =
            sum.div_euclid(TOKENS_PER_PRICE_UNIT) + i128::from(sum.rem_euclid(TOKENS_PER_PRICE_UNIT) != 0);
        i64::try_from(rounded).map(Amount).map_err(|_| MoneyError)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Amount(self.0), f)
    }
}

impl FromStr for Price {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad =
            |hint: &str| ParseError::new(text, "a price", format!("{hint}; prices are per million tokens"));
        let amount: Amount = text.parse().map_err(|error: ParseError| bad(&error.hint))?;
        Price::from_nanos_per_million(amount.nanos()).ok_or_else(|| bad("it must not be negative"))
    }
}

impl serde::Serialize for Price {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Price {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(PriceVisitor)
    }
}

struct PriceVisitor;

impl serde::de::Visitor<'_> for PriceVisitor {
    type Value = Price;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price per million tokens as a string, such as \"0.15\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Price, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, whole: i64) -> Result<Price, E> {
        whole.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, whole: u64) -> Result<Price, E> {
        whole.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Price, E> {
        Err(E::custom(format!("put quotes around the price: \"{value}\"; money is never a float")))
    }
}

impl schemars::JsonSchema for Price {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Price".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "description": "per million tokens, in the organisation's currency: \"0.15\"",
        })
    }
}

/// An ISO 4217 currency code.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(std::sync::Arc<str>);

text_newtype!(Currency, "an ISO 4217 code such as `EUR`");

/// Active ISO 4217 codes of national currencies (list of 2026-01; funds and metals left out).
const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP \
    BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
    GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP \
    LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN \
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS \
    TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG";

impl Currency {
    fn sign(&self) -> Option<&'static str> {
        match self.as_str() {
            "EUR" => Some("€"),
            "USD" => Some("$"),
            "GBP" => Some("£"),
            _ => None,
        }
    }
}

impl FromStr for Currency {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.len() == 3 && CURRENCIES.split_ascii_whitespace().any(|code| code == text) {
            return Ok(Currency(text.into()));
        }
        Err(ParseError::new(text, "a currency", "use an ISO 4217 code such as `EUR`, `USD` or `CHF`"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_read_well() {
        let euro: Currency = "EUR".parse().unwrap();
        let franc: Currency = "CHF".parse().unwrap();
        let show = |text: &str| text.parse::<Amount>().unwrap().display(&euro);
        assert_eq!(show("412"), "€412.00");
        assert_eq!(show("1234567.891"), "€1,234,567.89");
        assert_eq!(show("0.000123456"), "€0.00012");
        assert_eq!(show("0.25"), "€0.25");
        assert_eq!(show("0"), "€0.00");
        assert_eq!(show("-3.5"), "-€3.50");
        assert_eq!(Amount::from_nanos(1).display(&franc), "CHF 0.000000001");
        assert_eq!(Amount::from_nanos(12).display(&franc), "CHF 0.000000012");
        assert!("EURO".parse::<Currency>().is_err());
        assert!("XXX".parse::<Currency>().is_err());
    }

    #[test]
    fn amounts_are_rounded_to_the_digits_shown() {
        let euro: Currency = "EUR".parse().unwrap();
        for (amount, shown) in [
            ("0.01165", "€0.012"),
            ("0.01164", "€0.012"),
            ("0.0114", "€0.011"),
            ("-0.01165", "-€0.012"),
            ("0.000000125", "€0.00000013"),
            ("0.0999", "€0.10"),
            ("0.0994", "€0.099"),
            ("0.995", "€1.00"),
            ("0.994", "€0.99"),
            ("1.004999999", "€1.00"),
            ("1.005", "€1.01"),
            ("999.995", "€1,000.00"),
        ] {
            assert_eq!(amount.parse::<Amount>().unwrap().display(&euro), shown, "{amount}");
        }
        assert_eq!(Amount::from_nanos(i64::MAX).display(&euro), "€9,223,372,036.85");
        assert_eq!(Amount::from_nanos(i64::MIN).display(&euro), "-€9,223,372,036.85");
    }

    #[test]
    fn i9_money_is_checked_integers() {
        assert_eq!(Amount::from_nanos(i64::MAX).plus(Amount::from_nanos(1)), Err(MoneyError));
        assert_eq!(Amount::from_nanos(i64::MIN).minus(Amount::from_nanos(1)), Err(MoneyError));
        assert_eq!(Price::round_up(i128::from(i64::MAX) * 2_000_000), Err(MoneyError));
        for bad in ["", ".", "1.", ".5", "1e3", "1,000", "+1", "0.0000000001", "99999999999999999999"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
        assert!("-1".parse::<Price>().is_err());
        let error = serde_json::from_str::<Price>("0.15").unwrap_err().to_string();
        assert!(error.contains("money is never a float"), "{error}");
    }

    #[test]
    fn i9_time_is_rounded_up_once() {
        let hour: Amount = "1.80".parse().unwrap();
        let time = |micros| hour.for_time(std::time::Duration::from_micros(micros));
        assert_eq!(time(3_600_000_000), Ok(hour));
        assert_eq!(time(1_000_000).unwrap().nanos(), 500_000);
        assert_eq!(time(1).unwrap().nanos(), 1, "half a nano-unit is one");
        assert_eq!(time(0), Ok(Amount::ZERO));
        assert_eq!(
            Amount::from_nanos(i64::MAX).for_time(std::time::Duration::from_secs(7_200)),
            Err(MoneyError)
        );
    }

    #[test]
    fn i9_a_cost_is_rounded_up_once() {
        let price: Price = "0.000000001".parse().unwrap(); // one nano-unit per million tokens
        assert_eq!(Price::round_up(price.times(1)).unwrap().nanos(), 1);
        assert_eq!(Price::round_up(price.times(1) + price.times(999_999)).unwrap().nanos(), 1);
        assert_eq!(Price::round_up(0).unwrap(), Amount::ZERO);
    }

    proptest! {
        #[test]
        fn amounts_round_trip_as_text(nanos in any::<i64>().prop_filter("has a positive twin", |n| *n != i64::MIN)) {
            let amount = Amount::from_nanos(nanos);
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }

        #[test]
        fn i9_rounding_never_favours_the_payer(price in 0..1_000_000_000_000_i64, tokens in 0..10_000_000_u64) {
            let exact = Price::from_nanos_per_million(price).unwrap().times(tokens);
            let rounded = i128::from(Price::round_up(exact).unwrap().nanos()) * 1_000_000;
            prop_assert!(rounded >= exact && rounded - exact < 1_000_000);
        }
    }
}
