//! Data classes, zones and stages: the three scales that decide what may go where.

use crate::text::text_enum;

/// How sensitive content is. The order is the meaning: content may go where its class is at most
/// the clearance. Content that cannot be scanned counts as [`DataClass::Restricted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum DataClass {
    /// Anyone may read it.
    Public,
    /// Anyone in the organisation may read it. Text without findings is of this class.
    #[default]
    Internal,
    /// Customers', staff's or business secrets.
    Confidential,
    /// Must not leave the premises: credentials, health data, what could not be scanned.
    Restricted,
}

text_enum!(
    DataClass,
    "a data class",
    [
        ("public", DataClass::Public),
        ("internal", DataClass::Internal),
        ("confidential", DataClass::Confidential),
        ("restricted", DataClass::Restricted),
    ]
);

impl DataClass {
    /// 0 for `public` to 3 for `restricted`: the form in which policies compare classes.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8
    }
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// The organisation's own machines.
    OnPremises,
    /// Machines of somebody else that serve this organisation alone.
    PrivateCloud,
    /// A service shared with others.
    PublicCloud,
}

text_enum!(
    Zone,
    "a zone",
    [
        ("on_premises", Zone::OnPremises),
        ("private_cloud", Zone::PrivateCloud),
        ("public_cloud", Zone::PublicCloud),
    ]
);

/// Where a use case stands in its life. Keys, models and money depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Written down, not yet allowed to call.
    Idea,
    /// Time-boxed and capped trial.
    Pilot,
    /// Both owners' sides have agreed.
    Approved,
    /// In everyday use.
    Production,
    /// In use while being looked at again.
    Review,
    /// Ended; its keys no longer work.
    Retired,
}

text_enum!(
    Stage,
    "a stage",
    [
        ("idea", Stage::Idea),
        ("pilot", Stage::Pilot),
        ("approved", Stage::Approved),
        ("production", Stage::Production),
        ("review", Stage::Review),
        ("retired", Stage::Retired),
    ]
);

/// What may be done to content so that it can go where it otherwise could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transformation {
    /// Replace each value by a placeholder that is turned back in the answer: `<IBAN_1>`.
    Pseudonymise,
    /// Remove each value for good: `[IBAN removed]`.
    Mask,
}

text_enum!(
    Transformation,
    "a transformation",
    [("pseudonymise", Transformation::Pseudonymise), ("mask", Transformation::Mask),]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_and_round_trip() {
        assert!(DataClass::Public < DataClass::Internal);
        assert!(DataClass::Confidential < DataClass::Restricted);
        for class in DataClass::ALL {
            assert_eq!(class.as_str().parse::<DataClass>().unwrap(), *class);
            assert_eq!(serde_json::to_string(class).unwrap(), format!("\"{class}\""));
        }
        let error = "secret".parse::<DataClass>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`secret` is not a data class; use one of `public` `internal` `confidential` `restricted`"
        );
    }
}
