//! Marks for answers to held-out questions.
//!
//! Both marks compare words (see `words`). They read no meaning: a right answer in other words is marked wrong, and
//! an answer that states the expected value and denies it is marked right.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use pintle_guard::Guard;
use serde::{Deserialize, Serialize};

use super::report::{KindScores, Proportion, QuestionsReport, Scores, WorstAnswer, rounded};
use super::words::{answer_words, cut};

/// An answer's words among which the expected value is looked for, so that reciting everything does not pay.
const VALUE_WITHIN_WORDS: usize = 100;
const WORST: usize = 20;
const SHOWN_BYTES: usize = 300;

/// A question with the answer that is expected.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// The expected answer, a sentence or a phrase.
    pub answer: String,
    /// The fact in it that a correct answer must hold; the whole answer where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What kind of question it is; marks are given by kind too.
    pub kind: String,
}

/// Shows the kind and sizes: the text may be confidential.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("kind", &self.kind)
            .field("question_bytes", &self.question.len())
            .field("answer_bytes", &self.answer.len())
            .finish_non_exhaustive()
    }
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Equal to the expected answer, or to the value alone.
    pub exact: bool,
    /// Exact, or holding the value as whole words.
    pub correct: bool,
    /// Words in common with the expected answer, or with the value where that is more: the harmonic mean of the
    /// shares of both sides.
    pub token_f1: f64,
}

/// Marks one answer.
#[must_use]
pub fn mark(question: &Question, answer: &str) -> Mark {
    let given = answer_words(answer);
    let expected = answer_words(&question.answer);
    let value = question.value.as_deref().map(answer_words).filter(|value| !value.is_empty());
    let exact = given == expected || value.as_ref() == Some(&given);
    let wanted = value.as_ref().unwrap_or(&expected);
    let within = given.get(..VALUE_WITHIN_WORDS).unwrap_or(&given);
    let holds = !wanted.is_empty() && within.windows(wanted.len()).any(|words| words == wanted.as_slice());
    let of_value = value.as_ref().map_or(0.0, |value| token_f1(&given, value));
    Mark { exact, correct: exact || holds, token_f1: token_f1(&given, &expected).max(of_value) }
}

fn token_f1(given: &[String], expected: &[String]) -> f64 {
    if given.is_empty() || expected.is_empty() {
        return if given.is_empty() && expected.is_empty() { 1.0 } else { 0.0 };
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in expected {
        *left.entry(word).or_default() += 1;
    }
    let mut common = 0_usize;
    for word in given {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    2.0 * common as f64 / (given.len() + expected.len()) as f64
}

/// Everything that the report says of the questions. `contaminated` has a flag for each question.
pub(super) fn report(
    questions: &[Question],
    given: usize,
    answers: &[String],
    base: Option<&[String]>,
    contaminated: &[bool],
    guard: &Guard,
) -> QuestionsReport {
    let marks = |answers: &[String]| -> Vec<Mark> {
        questions.iter().zip(answers).map(|(question, answer)| mark(question, answer)).collect()
    };
    let model = marks(answers);
    let base = base.map(marks);
    let differs = |model_is: bool| {
        let pairs = base.as_ref().map(|base| model.iter().zip(base));
        pairs.map(|pairs| pairs.filter(|(m, b)| m.correct == model_is && b.correct != model_is).count())
    };
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, question) in questions.iter().enumerate() {
        kinds.entry(&question.kind).or_default().push(index);
    }
    let pick = |marks: &[Mark], of: &[usize]| -> Vec<Mark> {
        of.iter().filter_map(|index| marks.get(*index).copied()).collect()
    };
    let clean = model.iter().zip(contaminated).filter(|(_, contaminated)| !**contaminated);
    let clean: Vec<Mark> = clean.map(|(mark, _)| *mark).collect();
    QuestionsReport {
        asked: questions.len(),
        given,
        model: scores(&model),
        base: base.as_deref().map(scores),
        gained: differs(true),
        lost: differs(false),
        correct_without_contaminated: scores(&clean).correct,
        kinds: kinds
            .iter()
            .map(|(kind, of)| KindScores {
                kind: masked(guard, kind),
                model: scores(&pick(&model, of)),
                base: base.as_ref().map(|base| scores(&pick(base, of))),
            })
            .collect(),
        worst: worst(questions, answers, &model, guard),
    }
}

fn scores(marks: &[Mark]) -> Scores {
    let count = |is: fn(&Mark) -> bool| marks.iter().filter(|mark| is(mark)).count();
    let sum: f64 = marks.iter().map(|mark| mark.token_f1).sum();
    Scores {
        exact_match: Proportion::new(count(|mark| mark.exact), marks.len()),
        correct: Proportion::new(count(|mark| mark.correct), marks.len()),
        token_f1: if marks.is_empty() { 0.0 } else { rounded(sum / marks.len() as f64) },
    }
}

fn worst(questions: &[Question], answers: &[String], marks: &[Mark], guard: &Guard) -> Vec<WorstAnswer> {
    let mut order: Vec<(usize, (&Question, &String, &Mark))> = questions
        .iter()
        .zip(answers)
        .zip(marks)
        .map(|((question, answer), mark)| (question, answer, mark))
        .enumerate()
        .filter(|(_, (_, _, mark))| !mark.exact)
        .collect();
    order.sort_by(|(i, (_, _, one)), (j, (_, _, other))| {
        let key = one.correct.cmp(&other.correct).then(one.token_f1.total_cmp(&other.token_f1));
        key.then(i.cmp(j))
    });
    let entry = |(index, (question, answer, mark)): (usize, (&Question, &String, &Mark))| WorstAnswer {
        number: index + 1,
        kind: masked(guard, &question.kind),
        question: masked(guard, &question.question),
        expected: masked(guard, question.value.as_ref().unwrap_or(&question.answer)),
        answer: masked(guard, answer),
        correct: mark.correct,
        token_f1: rounded(mark.token_f1),
    };
    order.into_iter().take(WORST).map(entry).collect()
}

/// The text without the values that the guard finds, cut afterwards: a value that is cut first may be missed.
pub(super) fn masked(guard: &Guard, text: &str) -> String {
    let masked = pintle_guard::mask(text, &guard.scan(text), |_| true);
    let shown = cut(&masked, SHOWN_BYTES);
    if shown.len() < masked.len() { format!("{shown} …") } else { masked }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(answer: &str, value: Option<&str>, given: &str) -> (bool, bool, f64) {
        let question = Question {
            question: "?".to_owned(),
            answer: answer.to_owned(),
            value: value.map(str::to_owned),
            kind: "fact".to_owned(),
        };
        let mark = mark(&question, given);
        (mark.exact, mark.correct, mark.token_f1)
    }

    #[test]
    fn a_table_of_marks() {
        let sentence = "The limit for meals is 40 euros a day.";
        // limit for meals is 40 euros day: 7 words without articles.
        let table = [
            (sentence, Some("40 euros"), "the limit for meals is 40 euros a day", (true, true, 1.0)),
            (sentence, Some("40 euros"), "40 Euros.", (true, true, 1.0)),
            // Two of the given three and of the expected two: 4/5.
            (sentence, Some("40 euros"), "It's 40 euros", (false, true, 0.8)),
            // 140 is another number.
            (sentence, Some("40 euros"), "140 euros", (false, false, 0.5)),
            (sentence, Some("40 euros"), "40", (false, false, 2.0 / 3.0)),
            (sentence, None, "40 euros", (false, false, 4.0 / 9.0)),
            (sentence, Some("40 euros"), "", (false, false, 0.0)),
            ("", None, "", (true, true, 1.0)),
            ("yes", None, "no", (false, false, 0.0)),
            ("red red blue", None, "red blue blue", (false, false, 2.0 / 3.0)),
            ("4.5", None, "45", (false, false, 0.0)),
        ];
        for (answer, value, given, (exact, correct, f1)) in table {
            let found = marked(answer, value, given);
            assert_eq!((found.0, found.1), (exact, correct), "{given:?} for {answer:?}");
            assert!((found.2 - f1).abs() < 1e-12, "{found:?} for {given:?}");
        }
    }

    #[test]
    fn a_value_far_into_an_answer_does_not_count() {
        let long = |words: usize| format!("{} 40", "word ".repeat(words));
        assert!(marked("40", None, &long(99)).1);
        assert!(!marked("40", None, &long(100)).1);
    }
}
