//! Files of conversations: checked line by line while they arrive, and read again, as tokens, when they are learnt from.

use std::{path::Path, sync::Arc};

use pintle_core::DataClass;
use pintle_guard::Guard;

use super::super::conversations::{self, LINE_BYTES_MAX};
use crate::{
    Example, ModelError,
    evaluate::Question,
    store::sha256_of,
    tokenise::{ChatTurn, Role, Tokeniser},
};

/// Control tokens that a template may put around a message, and around a conversation: more than any that we know.
const TOKENS_AROUND: u64 = 16;
/// Without a file of its own, every so many-th conversation is kept out of training to measure with.
const HELD_OUT_EVERY: usize = 20;
const HELD_OUT_MAX: usize = 200;

/// What one line of a chat file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatLine {
    /// More tokens than it has with any tokeniser: its bytes, and what a template adds.
    pub tokens_max: u64,
    /// Its class.
    pub class: DataClass,
}

/// Why a line cannot be learnt from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatFault {
    /// It is no conversation; in words, without its text.
    Shape(String),
    /// It holds more than it may.
    AboveClass {
        /// What was found, never the value.
        kind: Arc<str>,
        /// Its class.
        class: DataClass,
    },
}

/// Checks one line of a chat file: OpenAI's form, and what the guard finds in it.
///
/// # Errors
/// What is wrong with it.
pub fn check_chat(line: &str, guard: &Guard, accepts: DataClass) -> Result<ChatLine, ChatFault> {
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(ChatFault::Shape(format!("it is longer than {LINE_BYTES_MAX} bytes")));
    }
    let turns = conversations::chat(line).map_err(ChatFault::Shape)?;
    let class = class_of(&turns, guard, accepts)?;
    let bytes: u64 = turns.iter().map(|turn| turn.content.len() as u64).sum();
    let around = TOKENS_AROUND.saturating_mul(turns.len() as u64 + 1);
    Ok(ChatLine { tokens_max: bytes.saturating_add(around), class })
}

fn class_of(turns: &[ChatTurn], guard: &Guard, accepts: DataClass) -> Result<DataClass, ChatFault> {
    let found = turns.iter().flat_map(|turn| guard.scan(&turn.content)).max_by_key(|found| found.class);
    match found {
        Some(found) if found.class > accepts => {
            Err(ChatFault::AboveClass { kind: found.kind, class: found.class })
        }
        found => Ok(found.map(|found| found.class).unwrap_or_default()),
    }
}

/// A file of conversations, read.
pub(super) struct Chats {
    /// `training file` or `validation file`.
    pub(super) part: &'static str,
    /// Each with its line.
    pub(super) turns: Vec<(usize, Vec<ChatTurn>)>,
    pub(super) class: DataClass,
    pub(super) sha256: String,
}

impl Chats {
    /// Reads and scans a file.
    pub(super) fn read(
        part: &'static str,
        path: &Path,
        guard: &Guard,
        accepts: DataClass,
    ) -> Result<Self, ModelError> {
        let mut chats =
            Chats { part, turns: Vec::new(), class: DataClass::default(), sha256: sha256_of(path)? };
        let mut above = None;
        let read = conversations::each_line(path, |line, text| {
            let turns = conversations::chat(text)?;
            match class_of(&turns, guard, accepts) {
                Ok(class) => chats.class = chats.class.max(class),
                Err(ChatFault::Shape(why)) => return Err(why),
                Err(ChatFault::AboveClass { kind, class }) => {
                    above = Some(ModelError::ChatsAboveClass { part, line, kind: kind.to_string(), class });
                    return Err(String::new());
                }
            }
            chats.turns.push((line, turns));
            Ok(())
        });
        match (above, read) {
            (Some(above), _) => Err(above),
            // Where the file lies is nobody's affair who reads this.
            (None, Err(ModelError::Broken { why, .. })) => Err(ModelError::Chats { part, why }),
            (None, Err(error)) => Err(error),
            (None, Ok(())) if chats.turns.is_empty() => {
                Err(ModelError::Chats { part, why: "it holds no conversations".into() })
            }
            (None, Ok(())) => Ok(chats),
        }
    }

    /// Takes out what is kept to measure with: every twentieth conversation of twenty or more.
    pub(super) fn hold_out(&mut self) -> Option<Chats> {
        if self.turns.len() < HELD_OUT_EVERY {
            return None;
        }
        let (mut kept, mut held_out) = (Vec::new(), Vec::new());
        for (index, chat) in std::mem::take(&mut self.turns).into_iter().enumerate() {
            let is_held_out = (index + 1).is_multiple_of(HELD_OUT_EVERY) && held_out.len() < HELD_OUT_MAX;
            if is_held_out { held_out.push(chat) } else { kept.push(chat) }
        }
        self.turns = kept;
        Some(Chats { part: self.part, turns: held_out, class: self.class, sha256: self.sha256.clone() })
    }

    /// The conversations as tokens.
    pub(super) fn examples(&self, tokeniser: &Tokeniser, context: usize) -> Result<Vec<Example>, ModelError> {
        let fail = |line: usize, why: String| ModelError::Chats {
            part: self.part,
            why: format!("line {line}: {why}"),
        };
        let mut examples = Vec::with_capacity(self.turns.len());
        for (line, turns) in &self.turns {
            let dialogue =
                tokeniser.encode_dialogue(turns).map_err(|error| fail(*line, error.to_string()))?;
            let tokens = dialogue.tokens.len();
            if tokens > context {
                let why =
                    format!("the conversation has {tokens} tokens, and the model reads at most {context}");
                return Err(fail(*line, why));
            }
            if !dialogue.is_answer.iter().skip(1).any(|is_answer| *is_answer) {
                return Err(fail(*line, "no answer of the assistant is left to learn".into()));
            }
            examples.push(Example { tokens: dialogue.tokens, is_answer: dialogue.is_answer });
        }
        Ok(examples)
    }

    /// The conversations that are one question and one answer, which is what can be asked again alone.
    pub(super) fn questions(&self) -> Vec<Question> {
        let pair = |(_, turns): &(usize, Vec<ChatTurn>)| match turns.as_slice() {
            [asked, said] if asked.role == Role::User => Some(Question {
                question: asked.content.clone(),
                answer: said.content.clone(),
                value: None,
                kind: "conversation".to_owned(),
            }),
            _ => None,
        };
        self.turns.iter().filter_map(pair).collect()
    }

    /// Each conversation as one text, with a name for it.
    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let text = |(line, turns): &(usize, Vec<ChatTurn>)| {
            let parts: Vec<&str> = turns.iter().map(|turn| turn.content.as_str()).collect();
            (format!("{}, line {line}", self.part), parts.join("\n"))
        };
        self.turns.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use pintle_guard::GuardConfig;

    use super::*;

    fn line(question: &str) -> String {
        serde_json::json!({ "messages": [
            { "role": "user", "content": question }, { "role": "assistant", "content": "Yes." },
        ]})
        .to_string()
    }

    #[test]
    fn a_line_is_bounded_scanned_and_never_repeated() {
        let guard = Guard::new(&GuardConfig::default()).unwrap();
        let checked = check_chat(&line("Is it open?"), &guard, DataClass::Internal).unwrap();
        assert_eq!(checked, ChatLine { tokens_max: 15 + 48, class: DataClass::Internal });
        let fault = check_chat(&line("Pay DE89370400440532013000"), &guard, DataClass::Internal).unwrap_err();
        assert_eq!(fault, ChatFault::AboveClass { kind: "iban".into(), class: DataClass::Confidential });
        assert!(check_chat(&line("Pay DE89370400440532013000"), &guard, DataClass::Confidential).is_ok());
    }

    #[test]
    fn every_twentieth_conversation_is_kept_out() {
        let guard = Guard::new(&GuardConfig::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chats.jsonl");
        let text: String = (0..41).map(|n| line(&format!("Number {n}?")) + "\n").collect();
        std::fs::write(&path, text).unwrap();
        let mut chats = Chats::read("training file", &path, &guard, DataClass::Internal).unwrap();
        let held_out = chats.hold_out().unwrap();
        assert_eq!((chats.turns.len(), held_out.turns.len()), (39, 2));
        assert_eq!(held_out.questions()[1].question, "Number 39?");
        assert!(held_out.texts()[0].0.contains("line 20"));
    }
}
