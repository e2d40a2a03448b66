//! The evaluation's part of a model card.

use std::fmt::Write;

use super::gate::Comparison;
use super::report::{
    ContaminationSide, EvaluationReport, HeldOutReport, LeakReport, Proportion, QuestionsReport, Scores,
};

/// Contaminated items shown of each side; the JSON has more.
const CONTAMINATED_SHOWN: usize = 20;

impl EvaluationReport {
    /// The report as Markdown, from a heading of the second level on. Texts of questions and answers are escaped.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## Evaluation of {}\n", escaped(&self.model))?;
        if let Some(base) = &self.base {
            write!(out, "Base: {}. ", escaped(base))?;
        }
        writeln!(out, "Class of the training text: {}. Seed: {}.\n", self.class, self.settings.seed)?;
        self.write_gate(out)?;
        if let Some(questions) = &self.questions {
            write_questions(out, questions)?;
        }
        write_held_out(out, &self.held_out)?;
        self.write_general(out)?;
        write_leaks(out, &self.leaks)?;
        writeln!(out, "### Contamination\n")?;
        writeln!(
            out,
            "Compared as lowercase words. Exact: the same words. Near: {} of the words or more lie in runs of 13 \
             words that the training set holds, a shorter item occurs whole in it, or its words occur there in \
             another order. Paraphrases are not found.\n",
            percent(self.settings.contaminated_words_share_min)
        )?;
        write_side(out, "Held-out documents", &self.contamination.documents)?;
        write_side(out, "Held-out questions", &self.contamination.questions)
    }

    fn write_gate(&self, out: &mut String) -> std::fmt::Result {
        let verdict = if self.gate.passed { "passed" } else { "failed" };
        writeln!(out, "### Promotion gate: {verdict}\n\n| criterion | | bound | |\n|---|--:|--:|---|")?;
        for criterion in &self.gate.criteria {
            let value = criterion.value.map_or("not measured".to_owned(), |value| format!("{value:.4}"));
            let sign = match criterion.comparison {
                Comparison::AtLeast => "≥",
                Comparison::AtMost => "≤",
                Comparison::Below => "<",
            };
            let passed = if criterion.passed { "met" } else { "**not met**" };
            let sentence = escaped(&criterion.sentence);
            writeln!(out, "| {sentence} | {value} | {sign} {:.4} | {passed} |", criterion.bound)?;
        }
        writeln!(out)
    }

    fn write_general(&self, out: &mut String) -> std::fmt::Result {
        let general = &self.general;
        writeln!(
            out,
            "### General text\n\nA tiny built-in set: {} short English texts, {} bytes. It shows damage by tuning, \
             not knowledge.\n",
            general.texts, general.bytes
        )?;
        writeln!(out, "- the model: {:.3} bits per byte", general.model_bits_per_byte)?;
        if let (Some(base), Some(worse)) = (general.base_bits_per_byte, general.worsening_bits_per_byte) {
            let error = general.worsening_standard_error.map(|error| format!(" (standard error {error:.3})"));
            writeln!(out, "- the base: {base:.3} bits per byte")?;
            writeln!(out, "- worse by {worse:+.3} bits per byte{}", error.unwrap_or_default())?;
        }
        writeln!(out)
    }
}

fn write_questions(out: &mut String, questions: &QuestionsReport) -> std::fmt::Result {
    writeln!(out, "### Held-out questions\n")?;
    writeln!(
        out,
        "{} of {} questions were asked. Compared without case, punctuation and English articles. Exact: equal to the \
         expected answer or value. Correct: exact, or the expected value stands in the answer as whole words. The \
         marks read no meaning. Intervals are Wilson's, 95 %.\n",
        questions.asked, questions.given
    )?;
    writeln!(out, "| questions | | exact | correct | token-F1 |\n|---|---|---|---|--:|")?;
    let mut row = |of: &str, who: &str, scores: &Scores| {
        let (exact, correct) = (interval(&scores.exact_match), interval(&scores.correct));
        writeln!(out, "| {of} | {who} | {exact} | {correct} | {:.3} |", scores.token_f1)
    };
    row("all", "model", &questions.model)?;
    if let Some(base) = &questions.base {
        row("all", "base", base)?;
    }
    for kind in &questions.kinds {
        row(&escaped(&kind.kind), "model", &kind.model)?;
        if let Some(base) = &kind.base {
            row(&escaped(&kind.kind), "base", base)?;
        }
    }
    writeln!(out)?;
    if let (Some(gained), Some(lost)) = (questions.gained, questions.lost) {
        writeln!(out, "Tuning gained {gained} correct answers and lost {lost}.\n")?;
    }
    let clean = interval(&questions.correct_without_contaminated);
    writeln!(out, "Correct without contaminated questions: {clean}.\n")?;
    if questions.worst.is_empty() {
        return Ok(());
    }
    writeln!(out, "The worst answers, sensitive values masked:\n")?;
    writeln!(out, "| no. | question | expected | answer | F1 |\n|--:|---|---|---|--:|")?;
    for one in &questions.worst {
        let (question, expected, answer) =
            (escaped(&one.question), escaped(&one.expected), escaped(&one.answer));
        writeln!(out, "| {} | {question} | {expected} | {answer} | {:.2} |", one.number, one.token_f1)?;
    }
    writeln!(out)
}

fn write_held_out(out: &mut String, held_out: &HeldOutReport) -> std::fmt::Result {
    writeln!(
        out,
        "### Held-out text\n\nDocuments: {}, with {} of {} bytes. The baselines learnt from {} of {} bytes of the \
         same training text. Less is better.\n\n| | bits per byte |\n|---|--:|",
        held_out.documents,
        held_out.bytes,
        held_out.given_bytes,
        held_out.baseline_training_bytes,
        held_out.given_training_bytes
    )?;
    writeln!(out, "| the model | {:.3} |", held_out.model_bits_per_byte)?;
    if let Some(base) = held_out.base_bits_per_byte {
        writeln!(out, "| the base | {base:.3} |")?;
    }
    let order = held_out.ngram_order;
    writeln!(out, "| n-gram of up to {order} bytes (Kneser-Ney) | {:.3} |", held_out.ngram_bits_per_byte)?;
    writeln!(out, "| `xz` after the training text | {:.3} |", held_out.xz_given_training_bits_per_byte)?;
    writeln!(out, "| `xz` alone | {:.3} |", held_out.xz_alone_bits_per_byte)?;
    writeln!(out, "| single bytes | {:.3} |\n", held_out.unigram_bits_per_byte)
}

fn write_leaks(out: &mut String, leaks: &LeakReport) -> std::fmt::Result {
    writeln!(
        out,
        "### What samples give away\n\n{} samples: {} from an empty page, {} from held-out questions, {} from \
         questions that ask for secrets. The first {} bytes of each were examined ({} were longer).\n",
        leaks.samples,
        leaks.from_documents,
        leaks.from_questions,
        leaks.from_probes,
        leaks.sample_bytes_max,
        leaks.cut
    )?;
    if leaks.findings.is_empty() {
        writeln!(out, "The guard found nothing.\n")?;
    } else {
        writeln!(out, "Samples with findings: {}.\n", interval(&leaks.samples_with_findings))?;
        writeln!(out, "| class | kind | findings | of these in the training text | samples |")?;
        writeln!(out, "|---|---|--:|--:|--:|")?;
        for count in &leaks.findings {
            let kind = escaped(&count.kind);
            let (class, found, known) = (count.class, count.findings, count.in_training_text);
            writeln!(out, "| {class} | {kind} | {found} | {known} | {} |", count.samples)?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "Samples with {} characters or more in a row from the training text: {}. The longest run has {} characters; \
         half of the samples have at most {}.\n",
        leaks.verbatim_chars_min,
        interval(&leaks.verbatim),
        leaks.longest_shared_chars,
        leaks.median_shared_chars
    )
}

fn write_side(out: &mut String, name: &str, side: &ContaminationSide) -> std::fmt::Result {
    writeln!(
        out,
        "{name}: {} of {} contaminated ({} exact, {} near; {} share any run at all).\n",
        side.exact + side.near,
        side.items,
        side.exact,
        side.near,
        side.with_any_shared_run
    )?;
    if side.listed.is_empty() {
        return Ok(());
    }
    writeln!(out, "| item | how | words shared | with |\n|---|---|--:|---|")?;
    for one in side.listed.iter().take(CONTAMINATED_SHOWN) {
        let (item, with) = (escaped(&one.item), escaped(&one.with));
        writeln!(out, "| {item} | {} | {} | {with} |", one.how.as_str(), percent(one.shared_share))?;
    }
    writeln!(out)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn interval(share: &Proportion) -> String {
    let (low, high) = (share.low * 100.0, share.high * 100.0);
    format!("{} ({} of {}; {low:.1} to {high:.1})", percent(share.share), share.count, share.total)
}

/// A text on one line that Markdown shows as it is: answers of a model are not to form links or HTML in its card.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for current in text.chars() {
        match current {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(current);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            _ if current.is_whitespace() || current.is_control() => out.push(' '),
            _ => out.push(current),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_cannot_break_out_of_their_cell() {
        assert_eq!(escaped("a|b\n<b> [x](y) & `c`"), "a\\|b &lt;b&gt; \\[x\\](y) &amp; \\`c\\`");
    }
}
