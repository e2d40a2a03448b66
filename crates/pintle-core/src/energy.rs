//! What a piece of work took from the socket, and how anybody knows.

use crate::text::text_enum;

/// How a figure of energy came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnergyMethod {
    /// The machine's own meter counted, and the work has its share by processor time.
    Measured,
    /// Processor time times a rated power.
    Estimated,
}

text_enum!(
    EnergyMethod,
    "how energy was found out",
    [("measured", EnergyMethod::Measured), ("estimated", EnergyMethod::Estimated)]
);

/// Energy with the word that belongs to it: no figure goes without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Energy {
    /// Thousandths of a watt-hour; one is 3.6 joules.
    pub milliwatt_hours: u64,
    /// How it came about.
    pub method: EnergyMethod,
}

/// `12.345 Wh, measured`.
impl std::fmt::Display for Energy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, thousandths) = (self.milliwatt_hours / 1_000, self.milliwatt_hours % 1_000);
        write!(f, "{whole}.{thousandths:03} Wh, {}", self.method)
    }
}
