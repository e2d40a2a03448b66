//! The pages: one file each, over shared words (`words`), pieces (`parts`), charts (`chart`), times and
//! money (`view`) and the frame around them (`layout`).

pub(crate) mod bans;
mod chart;
mod icons;
mod layout;
pub(crate) mod overview;
mod parts;
pub(crate) mod problem;
pub(crate) mod request;
mod request_life;
pub(crate) mod requests;
pub(crate) mod rules;
pub(crate) mod sign_in;
pub(crate) mod try_it;
pub(crate) mod use_case;
pub(crate) mod use_cases;
mod view;
mod words;
