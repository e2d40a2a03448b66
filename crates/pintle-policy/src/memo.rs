//! The memory of verdicts. Cedar takes tens of microseconds; the same few questions return all day.
//!
//! A remembered verdict can never be stale: the key holds every fact that goes into the question, is
//! compared in full, and the memory lives and dies with its engine, which is rebuilt on reload.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, PoisonError, RwLock},
};

use pintle_core::{DataClass, Transformation};

use crate::{
    engine::Verdict,
    facts::{Action, Content, PlacementFacts, Question, Subject},
};

/// Separate locks, so that threads seldom wait for each other. A power of two.
const SHARDS: usize = 16;

/// Buckets per shard: 8,192 in all, nearly all of them with one verdict, at well under 1 KiB each.
const SHARD_BUCKETS_MAX: usize = 512;

/// Verdicts per bucket: the same names with other facts, such as a use case before and after an edit.
const BUCKET_ENTRIES_MAX: usize = 8;

/// The facts of a question, owned.
struct Key {
    action: Action,
    subject: Subject,
    exchange: Option<ExchangeKey>,
}

struct ExchangeKey {
    placement: PlacementFacts,
    content: Content,
    applied: Option<Transformation>,
    sent_class: DataClass,
}

impl Key {
    fn new(question: &Question<'_>) -> Self {
        Key {
            action: question.action(),
            subject: question.subject().clone(),
            exchange: question.exchange().map(|exchange| ExchangeKey {
                placement: exchange.placement.clone(),
                content: exchange.content.clone(),
                applied: exchange.applied,
                sent_class: exchange.sent_class,
            }),
        }
    }

    fn is_of(&self, question: &Question<'_>) -> bool {
        let same_exchange = match (&self.exchange, question.exchange()) {
            (None, None) => true,
            (Some(key), Some(asked)) => {
                key.applied == asked.applied
                    && key.sent_class == asked.sent_class
                    && key.content == *asked.content
                    && key.placement == *asked.placement
            }
            _ => false,
        };
        same_exchange && self.action == question.action() && self.subject == *question.subject()
    }
}

/// Buckets by hash, so that a look-up needs no owned key.
type Shard = HashMap<u64, Vec<(Key, Arc<Verdict>)>>;

/// A bounded map from questions to verdicts.
pub(crate) struct Memo {
    hasher: RandomState,
    shards: [RwLock<Shard>; SHARDS],
}

impl Memo {
    pub(crate) fn new() -> Self {
        Memo { hasher: RandomState::new(), shards: std::array::from_fn(|_| RwLock::default()) }
    }

    /// The hash of what tells most questions apart; the rest is told apart by comparison. Keyed at random,
    /// so that no client can aim for one bucket.
    pub(crate) fn hash(&self, question: &Question<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        question.action().hash(&mut hasher);
        question.subject().use_case.hash(&mut hasher);
        if let Some(exchange) = question.exchange() {
            exchange.placement.name.hash(&mut hasher);
            exchange.content.hash(&mut hasher);
            exchange.applied.hash(&mut hasher);
            exchange.sent_class.hash(&mut hasher);
        }
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        // The top bits: the map below uses the others.
        self.shards.get(usize::try_from(hash >> 60).unwrap_or(0) % SHARDS)
    }

    pub(crate) fn get(&self, hash: u64, question: &Question<'_>) -> Option<Arc<Verdict>> {
        let shard = self.shard(hash)?.read().unwrap_or_else(PoisonError::into_inner);
        let (_, verdict) = shard.get(&hash)?.iter().find(|(key, _)| key.is_of(question))?;
        Some(Arc::clone(verdict))
    }

    pub(crate) fn insert(&self, hash: u64, question: &Question<'_>, verdict: &Arc<Verdict>) {
        let key = Key::new(question);
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_BUCKETS_MAX {
            // Cheaper than keeping an order of use, and it happens seldom: what is asked often is
            // back at once.
            shard.clear();
        }
        let bucket = shard.entry(hash).or_default();
        if bucket.iter().any(|(known, _)| known.is_of(question)) {
            return;
        }
        if bucket.len() >= BUCKET_ENTRIES_MAX {
            bucket.remove(0);
        }
        bucket.push((key, Arc::clone(verdict)));
    }

    /// How many verdicts are remembered.
    pub(crate) fn len(&self) -> usize {
        let count = |shard: &Shard| shard.values().map(Vec::len).sum::<usize>();
        self.shards.iter().map(|shard| count(&shard.read().unwrap_or_else(PoisonError::into_inner))).sum()
    }
}

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memo").field("len", &self.len()).finish_non_exhaustive()
    }
}
