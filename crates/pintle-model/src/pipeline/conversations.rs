//! Conversations and questions from JSONL files, and those made from documents.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use pintle_core::DataClass;
use pintle_guard::Guard;
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    Example, ModelError,
    evaluate::Question,
    tokenise::{ChatTurn, Role, Tokeniser},
};

/// The longest line of a file of conversations.
pub(crate) const LINE_BYTES_MAX: u64 = 4 << 20;
/// The most lines of a file of conversations.
pub(crate) const LINES_MAX: usize = 2_000_000;

/// A line of a chat file.
#[derive(Deserialize)]
struct Line {
    messages: Vec<Message>,
    #[serde(default)]
    tools: Option<IgnoredAny>,
    #[serde(default)]
    functions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    /// 0 asks for an answer not to be learnt.
    #[serde(default)]
    weight: Option<f64>,
    #[serde(default)]
    tool_calls: Option<IgnoredAny>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
}

/// OpenAI's two forms of a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`content` must be a text, or a list of parts of type `text`")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

/// Conversations with the class that the guard gives them.
pub(crate) struct Conversations {
    pub(crate) turns: Vec<Vec<ChatTurn>>,
    pub(crate) class: DataClass,
    /// Above the accepted class.
    pub(crate) left: u64,
}

/// Reads OpenAI's chat format, one conversation a line.
pub(crate) fn read_chats(path: &Path) -> Result<Vec<Vec<ChatTurn>>, ModelError> {
    let mut chats = Vec::new();
    each_line(path, |_, line| {
        chats.push(chat(line)?);
        Ok(())
    })?;
    Ok(chats)
}

/// Turns of a conversation to learn from, at most.
const TURNS_MAX: usize = 256;

/// One line of OpenAI's chat format. What could not be learnt as it is meant is refused, not left out.
pub(crate) fn chat(line: &str) -> Result<Vec<ChatTurn>, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if line.tools.is_some() || line.functions.is_some() {
        return Err("calls of tools cannot be learnt; hint: leave `tools` and `functions` out".into());
    }
    if line.messages.len() > TURNS_MAX {
        return Err(format!("the conversation has more than {TURNS_MAX} messages"));
    }
    let turns: Vec<ChatTurn> = line.messages.into_iter().map(turn).collect::<Result<_, String>>()?;
    match turns.last() {
        Some(last) if last.role == Role::Assistant => Ok(turns),
        Some(_) => Err("the conversation does not end with an answer of the assistant".into()),
        None => Err("the conversation has no messages".into()),
    }
}

fn turn(message: Message) -> Result<ChatTurn, String> {
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            return Err(format!(
                "the role `{}` is not known here",
                other.chars().take(32).collect::<String>()
            ));
        }
    };
    if message.tool_calls.is_some() || message.function_call.is_some() {
        return Err("calls of tools cannot be learnt; hint: leave such conversations out".into());
    }
    if message.weight.is_some_and(|weight| weight <= 0.0) {
        return Err(
            "an answer with `weight` 0 would be learnt all the same; hint: leave the answer out".into()
        );
    }
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
        None => return Err(format!("a message of the role `{}` has no `content`", role.as_str())),
    };
    Ok(ChatTurn { role, content })
}

/// Leaves out what is above the accepted class.
pub(crate) fn guarded(
    chats: Vec<Vec<ChatTurn>>,
    guard: &Guard,
    accepts: DataClass,
    at_least: DataClass,
) -> Conversations {
    let mut kept = Conversations { turns: Vec::new(), class: at_least, left: 0 };
    for turns in chats {
        let matches = turns.iter().flat_map(|turn| guard.scan(&turn.content));
        let class = matches.map(|found| found.class).max().unwrap_or_default();
        if class > accepts {
            kept.left += 1;
        } else {
            kept.class = kept.class.max(class);
            kept.turns.push(turns);
        }
    }
    kept
}

/// Pieces of the documents, as long as the conversations are on average, spread evenly over `stream`: as many as make
/// up `share` of all.
pub(crate) fn pieces(stream: &[u32], examples: &[Example], share: f64) -> Vec<Example> {
    let tokens: usize = examples.iter().map(|example| example.tokens.len()).sum();
    let length = tokens.checked_div(examples.len()).unwrap_or(0).max(2).min(stream.len());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share is checked")]
    let count = (examples.len() as f64 * share / (1.0 - share)).round() as usize;
    let room = stream.len() - length;
    let piece = |index: usize| {
        let start = index * room / count.max(1);
        let tokens = stream.get(start..start + length).unwrap_or_default().to_vec();
        Example { is_answer: vec![true; tokens.len()], tokens }
    };
    (0..count).map(piece).collect()
}

/// The conversations as tokens to learn from. Those that are longer than a sequence lose their end; those whose first
/// answer would be lost leave.
pub(crate) fn examples(
    tokeniser: &Tokeniser,
    chats: &[Vec<ChatTurn>],
    length: usize,
) -> Result<Vec<Example>, ModelError> {
    let mut examples = Vec::with_capacity(chats.len());
    for turns in chats {
        let dialogue = tokeniser.encode_dialogue(turns)?;
        let has_answer = dialogue.is_answer.iter().take(length).any(|is_answer| *is_answer);
        if has_answer {
            examples.push(Example { tokens: dialogue.tokens, is_answer: dialogue.is_answer });
        }
    }
    Ok(examples)
}

/// A line of a file of questions.
#[derive(Deserialize)]
struct QuestionLine {
    question: String,
    answer: String,
    value: Option<String>,
    kind: Option<String>,
}

/// Reads held-out questions. The value that a right answer must hold is the answer itself where it is not given.
pub(crate) fn read_questions(path: &Path) -> Result<Vec<Question>, ModelError> {
    let mut questions = Vec::new();
    each_line(path, |_, line| {
        let line: QuestionLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
        questions.push(Question {
            question: line.question,
            answer: line.answer,
            value: line.value,
            kind: line.kind.unwrap_or_else(|| "question".to_owned()),
        });
        Ok(())
    })?;
    Ok(questions)
}

/// Gives each line that is not empty, with its number; an error names the file and the line.
pub(crate) fn each_line(
    path: &Path,
    mut take: impl FnMut(usize, &str) -> Result<(), String>,
) -> Result<(), ModelError> {
    let mut reader = BufReader::new(File::open(path).map_err(ModelError::io(path))?);
    let broken = |number: usize, why: String| ModelError::Broken {
        path: path.to_path_buf(),
        why: format!("line {number}: {why}"),
    };
    let mut line = Vec::new();
    for number in 1..=LINES_MAX {
        line.clear();
        let mut bounded = std::io::Read::take(&mut reader, LINE_BYTES_MAX + 1);
        let read = bounded.read_until(b'\n', &mut line).map_err(ModelError::io(path))?;
        if read == 0 {
            return Ok(());
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(broken(number, format!("it is longer than {LINE_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| broken(number, "it is not UTF-8".into()))?;
        if !text.trim().is_empty() {
            take(number, text).map_err(|why| broken(number, why))?;
        }
    }
    Err(broken(LINES_MAX, "the file goes on for too long".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn chats_are_read_in_openais_forms() {
        let file = write(concat!(
            r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}],"x":1}"#,
            "\n\n",
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"A"},{"type":"text","text":"B"}]},{"role":"assistant","content":"C"}]}"#,
            "\n",
        ));
        let chats = read_chats(file.path()).unwrap();
        assert_eq!(chats.len(), 2);
        assert_eq!(chats[1][0].content, "AB");
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, why) in [
            ("{\"messages\":[]}\n", "no messages"),
            ("\n{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}\n", "line 2"),
            ("{\"messages\":[{\"role\":\"wizard\",\"content\":\"x\"}]}\n", "wizard"),
            ("{\"messages\":[{\"role\":\"assistant\",\"content\":null}]}\n", "has no `content`"),
            (
                "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"image_url\"}]}]}\n",
                "type `text`",
            ),
            ("{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"weight\":0}]}\n", "`weight` 0"),
            ("{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}],\"tools\":[]}\n", "tools"),
            ("nonsense\n", "line 1"),
        ] {
            let error = read_chats(write(text).path()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn pieces_of_documents_are_the_share_that_was_asked_for() {
        let stream: Vec<u32> = (0..1000).collect();
        let examples = vec![Example { tokens: vec![0; 20], is_answer: vec![true; 20] }; 90];
        let made = pieces(&stream, &examples, 0.1);
        assert_eq!((made.len(), made[9].tokens.len()), (10, 20));
        assert_eq!((made[0].tokens[0], made[9].tokens[0]), (0, 882));
        assert!(made.iter().all(|piece| piece.is_answer.iter().all(|is_answer| *is_answer)));
        assert!(pieces(&stream, &examples, 0.0).is_empty() && pieces(&stream, &[], 0.5).is_empty());
    }
}
