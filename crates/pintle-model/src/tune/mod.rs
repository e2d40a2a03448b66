//! Tuning: what a model learns beyond its base, whole or as a low-rank adapter.

mod lora;
mod peft;

pub(crate) use lora::Adapter;
pub use lora::LoraSettings;
pub(crate) use peft::save_adapter;
