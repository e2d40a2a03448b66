//! The pages: one file each, over shared words (`words`), pieces (`parts`), charts (`chart`, `curve`,
//! `figures`), times and money (`view`) and the frame around them (`layout`).

pub(crate) mod bans;
mod chart;
mod curve;
mod figures;
mod icons;
mod layout;
pub(crate) mod model;
pub(crate) mod models;
pub(crate) mod overview;
mod parts;
pub(crate) mod problem;
pub(crate) mod request;
mod request_life;
pub(crate) mod requests;
pub(crate) mod rules;
pub(crate) mod sign_in;
pub(crate) mod training;
pub(crate) mod try_it;
pub(crate) mod use_case;
pub(crate) mod use_cases;
pub(crate) mod version;
mod version_report;
mod view;
mod words;
