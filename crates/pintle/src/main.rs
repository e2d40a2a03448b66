//! The control plane between a business and every generative-AI model.

fn main() {}
