//! The chat template: the one Jinja text that says how a conversation is written for the model. It lies in the
//! model's folder, and training and serving render that same text.
//!
//! Templates of other folders are programs by others. They get no files, no time, and a bounded amount of work.

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde},
};
use serde::Serialize;

use crate::ModelError;

/// The template of our own models. Control tokens stand directly around each text, so that no token can reach
/// across the border between them.
pub const CHAT_TEMPLATE: &str = "\
{%- for message in messages -%}
{%- if message['role'] not in ['system', 'user', 'assistant'] -%}
{{- raise_exception('this model knows the roles system, user and assistant') -}}
{%- endif -%}
{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}";

const SOURCE_BYTES_MAX: usize = 256 * 1024;
/// About two million steps, or 128 MB of text made; a long conversation takes some thousand.
const FUEL: u64 = 2_000_000;
const NAME: &str = "chat";

/// One message as a template sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) role: &'a str,
    pub(super) content: &'a str,
}

/// A compiled template.
pub(super) struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    /// `bos_token` and its like: what templates call the control tokens.
    names: Vec<(String, String)>,
}

impl ChatTemplate {
    /// Compiles a template as `transformers` does.
    pub(super) fn new(source: &str, names: Vec<(String, String)>) -> Result<Self, ModelError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ModelError::Template("it is longer than 256 KiB".into()));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| refused(&error, source))?;
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(false);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", raise);
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(|error| refused(&error, source))?;
        Ok(ChatTemplate { source: source.to_owned(), environment, names })
    }

    /// The text as it is stored.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Renders a conversation.
    pub(super) fn render(
        &self,
        messages: &[Message<'_>],
        add_generation_prompt: bool,
    ) -> Result<String, ModelError> {
        let messages: Value = messages
            .iter()
            .map(|message| Value::from_pairs([("role", message.role), ("content", message.content)]))
            .collect();
        let given = [
            ("messages", messages),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
            // `transformers` gives both, empty.
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        let names = self.names.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str())));
        let context = Value::from_pairs(given.into_iter().chain(names));
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(context))
            .map_err(|error| refused(&error, &self.source))
    }
}

/// Says what kind of error it is and where. A template's own message is shown only where it stands in the template:
/// it could be put together from a message's content.
fn refused(error: &Error, source: &str) -> ModelError {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let own = error.detail().filter(|detail| detail.len() > 3 && source.contains(detail));
    ModelError::Template(match own {
        Some(own) => format!("{own}{line}"),
        None if error.kind() == ErrorKind::OutOfFuel => format!("it does too much work{line}"),
        None => format!("{}{line}", error.kind()),
    })
}

fn raise(why: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, why))
}

/// `{% generation %}` marks the answers for `transformers`' masks. It changes no text, so it becomes a condition that
/// holds, with its dashes for spaces kept.
fn without_generation_marks(source: &str) -> String {
    let mut rest = source;
    let mut out = String::with_capacity(source.len());
    while let Some((before, after)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        let Some((tag, next)) = after.split_once("%}") else {
            rest = after;
            continue;
        };
        match tag.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = next;
    }
    out.push_str(rest);
    out
}

/// JSON as Python writes it: a space after commas and colons, other letters than ASCII as they are. The engine's own
/// filter would write `<` and `&` as escapes.
#[expect(clippy::needless_pass_by_value, reason = "the shape of a template's filter")]
fn to_json(value: Serde<serde_json::Value>, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Python's other options are about what is the case anyway.
    let _: Option<Value> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    let written = if let Some(indent) = indent {
        let spaces = " ".repeat(indent.min(16));
        let style = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
        value.0.serialize(&mut serde_json::Serializer::with_formatter(&mut out, style))
    } else {
        value.0.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Spaced))
    };
    written
        .ok()
        .and_then(|()| String::from_utf8(out).ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a value cannot be written as JSON"))
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, content: &str) -> Result<String, String> {
        let names = vec![("bos_token".to_owned(), "<s>".to_owned())];
        let template = ChatTemplate::new(source, names).map_err(|error| error.to_string())?;
        template.render(&[Message { role: "user", content }], true).map_err(|error| error.to_string())
    }

    #[test]
    fn what_templates_in_the_wild_use() {
        for (source, expected) in [
            ("{{ bos_token }}{{ messages[0].content | trim }}", "<s>a <b> & 'c'"),
            ("{{ messages[0]['content'].strip().split(' ')[-1] }}", "'c'"),
            ("{% if messages[0].content.startswith(' a') %}yes{% endif %}\n", "yes"),
            (
                "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
                "1",
            ),
            ("{{ messages[0] | tojson }}", "{\"role\": \"user\", \"content\": \" a <b> & 'c'\"}"),
            (
                "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% break %}{% endfor %}",
                "user",
            ),
            ("{{ 'none' if tools is none else 'some' }}{{ 1 if strftime_now is defined else 2 }}", "none2"),
            ("{% macro say(x) %}[{{ x }}]{% endmacro %}{{ say(messages | length) }}", "[1]"),
        ] {
            assert_eq!(render(source, " a <b> & 'c'").as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn a_template_does_bounded_work_and_tells_nothing() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}";
        assert!(render(endless, "").unwrap_err().contains("too much work"));
        assert!(render("{{ 'x' * 999999999 }}", "").is_err());
        let own = render("{{ raise_exception('only short ones') }}", "secret").unwrap_err();
        assert!(own.contains("only short ones"), "{own}");
        let built = render("{{ raise_exception('bad: ' + messages[0].content) }}", "secret").unwrap_err();
        assert!(!built.contains("secret"), "{built}");
        assert!(render("{% for", "").is_err());
        assert!(render("{% include 'etc' %}", "").is_err());
    }
}
