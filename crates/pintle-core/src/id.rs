//! Distinct, sortable ids. An id of one kind does not pass for another.

use std::{fmt, marker::PhantomData, str::FromStr};

use uuid::Uuid;

use crate::{ParseError, Timestamp};

/// What an [`Id`] identifies. The prefix makes an id readable wherever it turns up.
pub trait IdKind: 'static {
    /// `req` in `req_0193…`.
    const PREFIX: &'static str;
    /// What stands between the prefix and the digits. OpenAI's own ids have a hyphen, and clients look for it.
    const SEPARATOR: char = '_';
    /// For errors: "a request id".
    const WANTED: &'static str;
}

/// A UUIDv7 with its kind in the type. Its text form is `prefix_` and 32 hex digits; ids sort by
/// the time they were made.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

impl<K: IdKind> Id<K> {
    /// A fresh id for the time given. The random part comes from the operating system.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn new(now: Timestamp) -> Result<Self, getrandom::Error> {
        let mut random = [0_u8; 10];
        getrandom::fill(&mut random)?;
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Ok(Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()))
    }

    /// The id with the given bytes.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Id { uuid, kind: PhantomData }
    }

    /// The id of the given sixteen bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_uuid(Uuid::from_bytes(bytes))
    }

    /// The bytes of the id.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// Eight hex digits, upper case, from the random end: what people read out on the telephone.
    #[must_use]
    pub fn short(&self) -> String {
        let text = self.uuid.simple().to_string().to_uppercase();
        text.chars().skip(24).collect()
    }

    /// When the id was made, to the millisecond.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.uuid.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
    }

    /// The smallest id of the given time: the lower bound for a search by time.
    #[must_use]
    pub fn lower_bound(at: Timestamp) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid())
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", K::PREFIX, K::SEPARATOR, self.uuid.simple())
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix(K::SEPARATOR))
            .filter(|hex| hex.len() == 32)
            .and_then(|hex| Uuid::try_parse(hex).ok())
            .map(Self::from_uuid)
            .ok_or_else(|| {
                let hint = format!("it looks like `{}{}` and 32 hex digits", K::PREFIX, K::SEPARATOR);
                ParseError::new(text, K::WANTED, hint)
            })
    }
}

impl<K: IdKind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de, K: IdKind> serde::Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Marks ids of requests.
pub enum RequestKind {}
impl IdKind for RequestKind {
    const PREFIX: &'static str = "req";
    const WANTED: &'static str = "a request id";
}

/// Marks ids of API keys.
pub enum KeyKind {}
impl IdKind for KeyKind {
    const PREFIX: &'static str = "key";
    const WANTED: &'static str = "a key id";
}

/// Marks ids of bans.
pub enum BanKind {}
impl IdKind for BanKind {
    const PREFIX: &'static str = "ban";
    const WANTED: &'static str = "a ban id";
}

/// Marks ids of console sessions.
pub enum SessionKind {}
impl IdKind for SessionKind {
    const PREFIX: &'static str = "ses";
    const WANTED: &'static str = "a session id";
}

/// Marks ids of uploaded files, as OpenAI writes them: `file-0193…`.
pub enum FileKind {}
impl IdKind for FileKind {
    const PREFIX: &'static str = "file";
    const SEPARATOR: char = '-';
    const WANTED: &'static str = "a file id";
}

/// Marks ids of tuning jobs, as OpenAI writes them: `ftjob-0193…`.
pub enum TuningJobKind {}
impl IdKind for TuningJobKind {
    const PREFIX: &'static str = "ftjob";
    const SEPARATOR: char = '-';
    const WANTED: &'static str = "a tuning job's id";
}

/// One request, from admission to record.
pub type RequestId = Id<RequestKind>;
/// One API key (not its secret).
pub type KeyId = Id<KeyKind>;
/// One ban.
pub type BanId = Id<BanKind>;
/// One signed-in browser.
pub type SessionId = Id<SessionKind>;
/// One uploaded file.
pub type FileId = Id<FileKind>;
/// One tuning job.
pub type TuningJobId = Id<TuningJobKind>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_refuse_another_kind() {
        let early = RequestId::new(Timestamp::from_millisecond(1_000).unwrap()).unwrap();
        let late = RequestId::new(Timestamp::from_millisecond(2_000).unwrap()).unwrap();
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<RequestId>().unwrap(), early);
        assert_eq!(early.timestamp().unwrap().as_millisecond(), 1_000);
        assert!(early.to_string().parse::<KeyId>().is_err());
        assert_eq!(early.short().len(), 8);
        let file = FileId::from_uuid(*early.as_uuid());
        assert!(file.to_string().starts_with("file-0"), "{file}");
        assert_eq!(file.to_string().parse::<FileId>().unwrap(), file);
        assert!(file.to_string().replace('-', "_").parse::<FileId>().is_err());
        assert!(RequestId::lower_bound(Timestamp::from_millisecond(1_000).unwrap()) <= early);
    }
}
