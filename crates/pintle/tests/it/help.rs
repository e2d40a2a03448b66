//! What people read before they type: the help of each command, with an example each.

use crate::support::Sandbox;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["init"],
    &["doctor"],
    &["status"],
    &["setup-link"],
    &["config"],
    &["config", "check"],
    &["config", "explain"],
    &["config", "schema"],
    &["usecase"],
    &["usecase", "list"],
    &["usecase", "show"],
    &["usecase", "create"],
    &["usecase", "edit"],
    &["usecase", "stage"],
    &["key"],
    &["key", "create"],
    &["key", "list"],
    &["key", "rotate"],
    &["key", "revoke"],
    &["budget"],
    &["budget", "show"],
    &["budget", "set"],
    &["ban"],
    &["ban", "add"],
    &["ban", "list"],
    &["ban", "lift"],
    &["usage"],
    &["policy"],
    &["policy", "test"],
    &["policy", "list"],
    &["policy", "export"],
    &["model"],
    &["model", "init"],
    &["model", "train"],
    &["model", "list"],
    &["model", "show"],
    &["model", "promote"],
    &["model", "export"],
    &["demo"],
    &["demo", "train"],
    &["demo", "handbook"],
    &["completions"],
];

#[test]
fn each_command_explains_itself_with_an_example() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let mut args = command.to_vec();
        args.push("--help");
        let run = sandbox.run(&args);
        assert_eq!(run.code, 0, "{}", run.shown());
        assert!(run.out.contains("Example"), "{command:?} has no example");
        let name =
            format!("help_{}", if command.is_empty() { "pintle".to_owned() } else { command.join("_") });
        insta::assert_snapshot!(name, run.out);
    }
}

#[test]
fn the_list_of_commands_above_is_complete() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let mut args = command.to_vec();
        args.push("--help");
        let help = sandbox.run(&args).out;
        let Some((_, rest)) = help.split_once("\nCommands:\n") else { continue };
        for line in rest.lines().take_while(|line| line.starts_with("  ")) {
            let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else { continue };
            let mut below = command.to_vec();
            below.push(name.split_whitespace().next().unwrap());
            assert!(COMMANDS.contains(&below.as_slice()), "{below:?} has no snapshot");
        }
    }
}

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2() {
    let sandbox = Sandbox::new();
    for args in [
        &["usecas"][..],
        &["key", "create"],
        &["key", "create", "--use-case", "Not A Name"],
        &["key", "create", "--use-case", "x", "--expires-in", "soon"],
        &["budget", "set", "support", "100"],
        &["budget", "set", "organisation", "1,000"],
        &["ban", "add", "openai", "--reason", "r", "--owner", "o", "--until", "7d"],
        &["usecase", "stage", "x", "done"],
        &["--demo", "status"],
        &["--demo", "--config", "x.toml"],
    ] {
        let run = sandbox.run(args);
        assert_eq!(run.code, 2, "{args:?}: {}", run.shown());
        assert!(run.out.is_empty() && !run.err.is_empty(), "{args:?}");
    }
    insta::assert_snapshot!("mistake_scope", sandbox.run(&["budget", "set", "support", "100"]).shown());
    insta::assert_snapshot!("mistake_demo", sandbox.run(&["--demo", "status"]).shown());
}

#[test]
fn completions_are_printed_for_each_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = sandbox.run(&["completions", shell]);
        assert_eq!(run.code, 0);
        assert!(run.out.contains("usecase") && run.out.contains("rotate"), "{shell}");
    }
}
