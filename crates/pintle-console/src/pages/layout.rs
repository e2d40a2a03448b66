//! The frame around each page: head, navigation, banner, help. One visual language for all.

use maud::{DOCTYPE, Markup, html};

use super::icons;
use crate::{
    ProcessView,
    app::{App, Caller},
};

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    Overview,
    UseCases,
    Requests,
    Try,
    Models,
    Bans,
    Rules,
    Elsewhere,
}

/// An entry of the navigation and the key that jumps to it after `g`.
struct Entry {
    here: Here,
    path: &'static str,
    title: &'static str,
    key: char,
}

const ENTRIES: [Entry; 7] = [
    Entry { here: Here::Overview, path: "/console", title: "Overview", key: 'o' },
    Entry { here: Here::UseCases, path: "/console/use-cases", title: "Use cases", key: 'u' },
    Entry { here: Here::Requests, path: "/console/requests", title: "Requests", key: 'r' },
    Entry { here: Here::Try, path: "/console/try", title: "Try it", key: 't' },
    Entry { here: Here::Models, path: "/console/models", title: "Models", key: 'm' },
    Entry { here: Here::Bans, path: "/console/bans", title: "Bans", key: 'b' },
    Entry { here: Here::Rules, path: "/console/rules", title: "Rules", key: 'p' },
];

/// A whole page for somebody who is signed in.
pub(crate) fn page(
    app: &App,
    process: &ProcessView,
    caller: &Caller,
    here: Here,
    title: &str,
    body: &Markup,
) -> Markup {
    let organisation = &process.organisation;
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(app, title, here))
            body {
                a.skip href="#main" { "Skip to the content" }
                div.frame {
                    header.side { div.stays {
                        a.brand href="/console" { (icons::mark()) span { "Pintle" } }
                        nav aria-label="Main" {
                            ul {
                                @for entry in &ENTRIES {
                                    li {
                                        a href=(entry.path) data-key=(entry.key)
                                            aria-current=[(entry.here == here).then_some("page")] {
                                            (icons::nav(entry.here)) span { (entry.title) }
                                        }
                                    }
                                }
                            }
                        }
                        div.who {
                            p.org { (organisation.name) }
                            p.muted { "Signed in as " (caller.name) }
                            form method="post" action="/console/sign-out" {
                                button.quiet type="submit" { "Sign out" }
                            }
                            p.keys { kbd { "?" } " shows the keyboard shortcuts" }
                        }
                    } }
                    div.content {
                        (notices(process))
                        main id="main" tabindex="-1" { (body) }
                        footer.foot {
                            "Pintle " (process.version) " · policies " code { (process.policy_version) }
                            " · times in " (organisation.time_zone.iana_name().unwrap_or("UTC"))
                        }
                    }
                }
                (help())
            }
        }
    }
}

/// A page for somebody who is not signed in.
pub(crate) fn outside(app: &App, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(app, title, Here::Elsewhere))
            body.outside {
                main id="main" tabindex="-1" {
                    p.brand { (icons::mark()) span { "Pintle" } }
                    (body)
                }
            }
        }
    }
}

fn head(app: &App, title: &str, here: Here) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " · Pintle" }
            link rel="icon" type="image/svg+xml" href=(app.assets.icon.path);
            link rel="stylesheet" href=(app.assets.css.path);
            script src=(app.assets.js.path) defer {}
            @match here {
                Here::Try => { script src=(app.assets.try_js.path) defer {} },
                Here::Models => { script src=(app.assets.live_js.path) defer {} },
                _ => {},
            }
        }
    }
}

/// What every page says at its top.
fn notices(process: &ProcessView) -> Markup {
    html! {
        @if process.organisation.is_demo {
            aside.banner aria-label="Sample organisation" { (icons::info()) span {
                strong { "Sample organisation." }
                " Labelled demo data. Cloud models are simulated; the on-premises one is real, small and knows only the sample handbook. Nothing leaves this machine."
            } }
        }
        @if let Some(error) = &process.last_config_error {
            aside.banner.warn aria-label="Configuration" { (icons::warn()) div {
                strong { "The newest configuration was not taken." }
                " The one before it is still in force. " code { (error) }
            } }
        }
    }
}

/// Opened by `?`; without script it stays closed, and nothing is lost.
fn help() -> Markup {
    html! {
        dialog id="help" aria-labelledby="help-title" {
            h2 id="help-title" { "Keyboard shortcuts" }
            dl.shortcuts {
                div { dt { kbd { "/" } } dd { "Search requests" } }
                @for entry in &ENTRIES {
                    div { dt { kbd { "g" } " " kbd { (entry.key) } } dd { (entry.title) } }
                }
                div { dt { kbd { "?" } } dd { "This help" } }
            }
            form method="dialog" { button type="submit" { "Close" } }
        }
    }
}
