//! API keys: made once, shown once, stored as a hash.
//!
//! A key carries 256 random bits, so a fast hash is enough at rest: a slow hash protects secrets that
//! people choose, because those can be guessed; 2²⁵⁶ values cannot be tried at any speed, and a slow
//! hash on each request would only be a way to overload the gateway. The table is searched by the
//! hash, whose bits an attacker cannot steer, so the search leaks nothing about stored keys.

use pintle_core::{KeyId, Name, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// SHA-256 of a whole key.
pub type KeyHash = [u8; 32];

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 43 characters of 62 carry 256 bits.
const SECRET_CHARS: usize = 43;
const LABEL: &str = "pintle_";
/// What lists show: the label and the first six characters of the secret, 36 of 256 bits.
const SHOWN_CHARS: usize = LABEL.len() + 6;

/// What a client presented, hashed on arrival. The text is not kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey(KeyHash);

impl PresentedKey {
    /// Hashes what came after `Bearer`.
    #[must_use]
    pub fn hash(text: &str) -> Self {
        PresentedKey(Sha256::digest(text.as_bytes()).into())
    }

    pub(crate) const fn as_bytes(&self) -> &KeyHash {
        &self.0
    }
}

/// A fresh key: the only moment at which its text exists.
pub struct NewKey {
    /// The text to hand to its user.
    pub secret: Zeroizing<String>,
    /// The record that stays.
    pub key: ApiKey,
}

/// An API key's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// Whose requests it makes.
    pub use_case: Name,
    /// What its maker called it.
    pub label: String,
    /// Its first characters, to tell keys apart.
    pub prefix: String,
    /// SHA-256 of the whole key.
    #[serde(skip)]
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Whether a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It works.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

impl KeyState {
    /// The name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyState::Active => "active",
            KeyState::Expired => "expired",
            KeyState::Revoked => "revoked",
        }
    }
}

impl ApiKey {
    /// Whether the key works at the given time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked_at.is_some_and(|at| at <= now) {
            KeyState::Revoked
        } else if self.expires_at.is_some_and(|at| at <= now) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }

    pub(crate) fn generate(
        use_case: Name,
        label: String,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<NewKey, getrandom::Error> {
        let secret = random_text(LABEL, SECRET_CHARS)?;
        let key = ApiKey {
            id: KeyId::new(now)?,
            use_case,
            label,
            prefix: secret.chars().take(SHOWN_CHARS).collect(),
            hash: PresentedKey::hash(&secret).0,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        Ok(NewKey { secret, key })
    }
}

/// `label` and so many evenly drawn characters of the 62. Bytes past the largest multiple of 62 are
/// drawn again, or the first characters of the alphabet would come up more often.
pub(crate) fn random_text(label: &str, chars: usize) -> Result<Zeroizing<String>, getrandom::Error> {
    let mut text = Zeroizing::new(String::with_capacity(label.len() + chars));
    text.push_str(label);
    let mut missing = chars;
    while missing > 0 {
        let mut bytes = Zeroizing::new([0_u8; 64]);
        getrandom::fill(bytes.as_mut_slice())?;
        for byte in bytes.iter().filter(|byte| **byte < 248).take(missing) {
            if let Some(letter) = ALPHABET.get(usize::from(byte % 62)) {
                text.push(char::from(*letter));
                missing -= 1;
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_stored_as_a_hash_only() {
        let now = Timestamp::from_second(1_000).unwrap();
        let made = ApiKey::generate("demo".parse().unwrap(), "laptop".into(), now, None).unwrap();
        assert_eq!(made.secret.len(), LABEL.len() + SECRET_CHARS);
        assert!(made.secret.starts_with(&made.key.prefix));
        assert_eq!(PresentedKey::hash(&made.secret).0, made.key.hash);
        let shown = format!("{:?}{}", made.key, serde_json::to_string(&made.key).unwrap());
        assert!(!shown.contains(made.secret.as_str()));
        let other = ApiKey::generate("demo".parse().unwrap(), String::new(), now, None).unwrap();
        assert_ne!(*other.secret, *made.secret);
    }

    #[test]
    fn a_key_ends_at_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut key =
            ApiKey::generate("demo".parse().unwrap(), String::new(), at(0), Some(at(10))).unwrap().key;
        assert_eq!(key.state(at(9)), KeyState::Active);
        assert_eq!(key.state(at(10)), KeyState::Expired);
        key.revoked_at = Some(at(5));
        assert_eq!(key.state(at(5)), KeyState::Revoked);
    }
}
