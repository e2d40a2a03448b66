//! Conversations to tokens. The template writes the control tokens; what people wrote cannot.
//!
//! A template puts control tokens and texts into one string, in which a user's `<|end|>` looks like the template's.
//! So that they differ, what could be taken for a control token in a text is replaced by letters of a private range
//! before the template runs, and put back, as plain text, after the control tokens are found.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{Special, Tokeniser, failed, template::Message};
use crate::ModelError;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that come before the conversation.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// As templates call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One message of a conversation. `Debug` leaves its text out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatTurn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl fmt::Debug for ChatTurn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.content.len();
        formatter.debug_struct("ChatTurn").field("role", &self.role).field("bytes", &bytes).finish()
    }
}

/// A conversation to learn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialogue {
    /// The tokens of all of it.
    pub tokens: Vec<u32>,
    /// Which of them the model has to say: the answers with the control token that ends each.
    pub is_answer: Vec<bool>,
}

/// Each answer is rendered with all that comes before it, so the work grows with the square.
const TURNS_MAX: usize = 256;
const CONTENT_BYTES_MAX: usize = 32 << 20;
/// Letters that stand for what was hidden: the end of the last private plane.
const HIDDEN_FIRST: u32 = 0x10_F000;
const HIDDEN_LAST: u32 = 0x10_FFFD;

/// The texts of a conversation with what could be taken for a control token hidden.
struct Hidden {
    roles: Vec<&'static str>,
    contents: Vec<String>,
    originals: Vec<String>,
}

impl Hidden {
    fn messages(&self) -> Vec<Message<'_>> {
        let pairs = self.roles.iter().zip(&self.contents);
        pairs.map(|(role, content)| Message { role, content }).collect()
    }

    fn restore(&self, text: &str) -> String {
        if self.originals.is_empty() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            let index = u32::from(letter).checked_sub(HIDDEN_FIRST).map(|index| index as usize);
            match index.and_then(|index| self.originals.get(index)) {
                Some(original) => out.push_str(original),
                None => out.push(letter),
            }
        }
        out
    }
}

/// What is hidden in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hide {
    /// Control tokens that are spelled out.
    Spelled,
    /// Each letter that a control token begins or ends with. No control token can then come about by a template that
    /// puts two texts side by side; but templates that look for `</think>` in an answer do not find it any more.
    Edges,
}

/// A piece of a rendered conversation.
struct Piece<'a> {
    text: &'a str,
    control: Option<u32>,
    start: usize,
    end: usize,
}

impl Tokeniser {
    /// The tokens of a conversation, ready to be answered where `add_generation_prompt` is set.
    ///
    /// # Errors
    /// Where there is no template, or it refuses the conversation.
    pub fn encode_chat(
        &self,
        turns: &[ChatTurn],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, ModelError> {
        let (hidden, text) = self.render_hidden(turns, add_generation_prompt)?;
        if let (Some(whole), true) = (&self.whole, hidden.originals.is_empty()) {
            return Ok(whole.encode_fast(text.as_str(), false).map_err(failed)?.get_ids().to_vec());
        }
        let mut tokens = Vec::new();
        self.encode_pieces(&text, &hidden, &mut tokens)?;
        Ok(tokens)
    }

    /// A conversation as the template writes it, for people to read: a control token that someone spelled out cannot
    /// be told from a real one in it.
    ///
    /// # Errors
    /// As for [`Tokeniser::encode_chat`].
    pub fn render_chat(&self, turns: &[ChatTurn], add_generation_prompt: bool) -> Result<String, ModelError> {
        let (hidden, text) = self.render_hidden(turns, add_generation_prompt)?;
        Ok(hidden.restore(&text))
    }

    /// The tokens of a conversation to learn from. An answer begins where the model would begin to write.
    ///
    /// # Errors
    /// As for [`Tokeniser::encode_chat`], and where the template rewrites what was said before (as those do that take
    /// earlier thoughts out): what is learnt would not be what is served.
    pub fn encode_dialogue(&self, turns: &[ChatTurn]) -> Result<Dialogue, ModelError> {
        if turns.len() > TURNS_MAX {
            return Err(ModelError::Template("a conversation to learn from has at most 256 turns".into()));
        }
        let (hidden, text) = self.render_hidden(turns, false)?;
        let mut dialogue = Dialogue { tokens: Vec::new(), is_answer: Vec::new() };
        let mut done = 0;
        for (index, _) in turns.iter().enumerate().filter(|(_, turn)| turn.role == Role::Assistant) {
            let (start, end) = self.answer(&hidden, &text, index)?;
            for (from, to, is_answer) in [(done, start, false), (start, end, true)] {
                let part = text.get(from..to).unwrap_or_default();
                self.encode_pieces(part, &hidden, &mut dialogue.tokens)?;
                dialogue.is_answer.resize(dialogue.tokens.len(), is_answer);
            }
            done = end;
        }
        self.encode_pieces(text.get(done..).unwrap_or_default(), &hidden, &mut dialogue.tokens)?;
        dialogue.is_answer.resize(dialogue.tokens.len(), false);
        Ok(dialogue)
    }

    /// Where an answer lies in the rendered conversation, with the control token that ends it.
    fn answer(&self, hidden: &Hidden, text: &str, index: usize) -> Result<(usize, usize), ModelError> {
        let messages = hidden.messages();
        let before = self.render(messages.get(..index).unwrap_or_default(), true)?;
        let with = self.render(messages.get(..=index).unwrap_or_default(), false)?;
        if !with.starts_with(&before) || !text.starts_with(&with) {
            let why = "it rewrites earlier turns, so a conversation cannot be learnt as it would be served";
            return Err(ModelError::Template(why.into()));
        }
        let start = before.len();
        let pieces = self.pieces(text.get(start..).unwrap_or_default());
        let end = pieces.iter().find(|piece| piece.control.is_some()).map(|piece| start + piece.end);
        let end = end.filter(|end| *end <= with.len());
        let end = end.ok_or_else(|| ModelError::Template("it ends answers with no control token".into()))?;
        Ok((start, end))
    }

    fn render(&self, messages: &[Message<'_>], add_generation_prompt: bool) -> Result<String, ModelError> {
        let template = self.template.as_ref();
        let template = template.ok_or_else(|| ModelError::Template("the model has none".into()))?;
        template.render(messages, add_generation_prompt)
    }

    /// Renders with as little hidden as is safe: with spelled-out control tokens hidden, if that gives the same
    /// control tokens as with all their edges hidden.
    fn render_hidden(
        &self,
        turns: &[ChatTurn],
        add_generation_prompt: bool,
    ) -> Result<(Hidden, String), ModelError> {
        let bytes: usize = turns.iter().map(|turn| turn.content.len()).sum();
        if bytes > CONTENT_BYTES_MAX {
            return Err(ModelError::Template("a conversation has at most 32 MiB".into()));
        }
        let edges = self.edges();
        let is_suspect = |turn: &ChatTurn| turn.content.contains(|letter| edges.contains(&letter));
        let spelled = if turns.iter().any(is_suspect) {
            self.hide(turns, Hide::Spelled, &edges)?
        } else {
            Hidden {
                roles: turns.iter().map(|turn| turn.role.as_str()).collect(),
                contents: turns.iter().map(|turn| turn.content.clone()).collect(),
                originals: Vec::new(),
            }
        };
        let text = self.render(&spelled.messages(), add_generation_prompt)?;
        if !turns.iter().any(is_suspect) {
            return Ok((spelled, text));
        }
        let safe = self.hide(turns, Hide::Edges, &edges)?;
        let safe_text = self.render(&safe.messages(), add_generation_prompt)?;
        if self.controls(&text) == self.controls(&safe_text) {
            Ok((spelled, text))
        } else {
            Ok((safe, safe_text))
        }
    }

    fn controls(&self, text: &str) -> Vec<u32> {
        self.pieces(text).iter().filter_map(|piece| piece.control).collect()
    }

    /// The letters that control tokens begin and end with.
    fn edges(&self) -> BTreeSet<char> {
        let ends = |special: &Special| [special.text.chars().next(), special.text.chars().next_back()];
        self.specials.iter().flat_map(ends).flatten().collect()
    }

    fn hide(&self, turns: &[ChatTurn], how: Hide, edges: &BTreeSet<char>) -> Result<Hidden, ModelError> {
        let mut hidden = Hidden {
            roles: turns.iter().map(|turn| turn.role.as_str()).collect(),
            contents: Vec::with_capacity(turns.len()),
            originals: Vec::new(),
        };
        for turn in turns {
            let mut out = String::with_capacity(turn.content.len());
            let mut rest = turn.content.as_str();
            while let Some(letter) = rest.chars().next() {
                let special = || self.special_at(rest).map(|special| special.text.len());
                let is_private = (HIDDEN_FIRST..=HIDDEN_LAST).contains(&u32::from(letter));
                let length = match how {
                    _ if is_private => Some(letter.len_utf8()),
                    Hide::Spelled if edges.contains(&letter) => special(),
                    Hide::Edges if edges.contains(&letter) => Some(letter.len_utf8()),
                    Hide::Spelled | Hide::Edges => None,
                };
                let (taken, after) = rest.split_at(length.unwrap_or(letter.len_utf8()));
                match length {
                    Some(_) => out.push(stand_in(&mut hidden.originals, taken)?),
                    None => out.push_str(taken),
                }
                rest = after;
            }
            hidden.contents.push(out);
        }
        Ok(hidden)
    }

    /// The longest control token that a text begins with.
    fn special_at(&self, text: &str) -> Option<&Special> {
        let matching = self.specials.iter().filter(|special| text.starts_with(&special.text));
        matching.max_by_key(|special| special.text.len())
    }

    /// Cuts a rendered conversation at its control tokens, each with the spaces that it takes.
    fn pieces<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        let edges = self.edges();
        let mut pieces = Vec::new();
        let (mut from, mut at) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(next) = rest.find(|letter| edges.contains(&letter)) else { break };
            at += next;
            let rest = text.get(at..).unwrap_or_default();
            let Some(special) = self.special_at(rest) else {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let before = text.get(from..at).unwrap_or_default();
            let before = if special.takes_space_before { before.trim_end() } else { before };
            let mut end = at + special.text.len();
            if special.takes_space_after {
                let after = text.get(end..).unwrap_or_default();
                end += after.len() - after.trim_start().len();
            }
            pieces.push(Piece { text: before, control: None, start: from, end: from + before.len() });
            pieces.push(Piece { text: "", control: Some(special.id), start: from + before.len(), end });
            (from, at) = (end, end);
        }
        let last = text.get(from..).unwrap_or_default();
        pieces.push(Piece { text: last, control: None, start: from, end: text.len() });
        pieces.retain(|piece| piece.start < piece.end);
        pieces
    }

    fn encode_pieces(&self, text: &str, hidden: &Hidden, tokens: &mut Vec<u32>) -> Result<(), ModelError> {
        for piece in self.pieces(text) {
            match piece.control {
                Some(id) => tokens.push(id),
                None => tokens.extend(self.encode(&hidden.restore(piece.text))?),
            }
        }
        Ok(())
    }
}

/// The private letter for a hidden text, the same one each time.
fn stand_in(originals: &mut Vec<String>, hidden: &str) -> Result<char, ModelError> {
    let index = originals.iter().position(|original| original == hidden).unwrap_or(originals.len());
    let letter = u32::try_from(index).ok().map(|index| HIDDEN_FIRST + index);
    let letter = letter.filter(|letter| *letter <= HIDDEN_LAST).and_then(char::from_u32);
    let letter =
        letter.ok_or_else(|| ModelError::Template("the conversation has too many private letters".into()))?;
    if index == originals.len() {
        originals.push(hidden.to_owned());
    }
    Ok(letter)
}
