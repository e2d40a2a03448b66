//! The values of facts: drawn with a seed, written in one regular way each, with the other spellings that count.

use std::collections::BTreeSet;

use super::text::Item;
use crate::pairs::Dice;

/// What a fact's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An invented person, the same nowhere else.
    Person,
    /// A telephone extension of four digits, the same nowhere else.
    Extension,
    /// From one time of day to another.
    Hours,
    /// A time of day.
    Clock,
    /// An amount within the item's bounds.
    Euros,
    /// A weight within the item's bounds.
    Kilograms,
    /// A number of people within the item's bounds.
    People,
    /// A floor of the head office.
    Floor,
    /// A role that agrees to spending.
    Approver,
    /// A role that acts.
    Role,
    /// The number of a form, the same nowhere else.
    FormNumber,
    /// The code of a customs document, the same nowhere else.
    DocumentCode,
    /// Working days, up to ten.
    WorkingDays,
    /// Days of a term of payment.
    Days,
    /// Months of a validity or an interval.
    Months,
    /// Years for which records are kept.
    Years,
    /// Hours or days for a procedure.
    TimeLimit,
    /// An invented insurer, the same nowhere else.
    Insurer,
    /// A numbered archive room, the same nowhere else.
    Archive,
}

/// A value as pages state it, and other spellings of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) accepted: Vec<String>,
}

const FIRST_NAMES: [&str; 48] = [
    "Anja", "Bjorn", "Carla", "Dmitri", "Elif", "Finn", "Greta", "Hamza", "Ines", "Jonas", "Katja", "Lars",
    "Maja", "Nils", "Olga", "Pavel", "Rosa", "Stefan", "Tilda", "Umut", "Vera", "Wanda", "Yusuf", "Zora",
    "Agnes", "Boris", "Clara", "David", "Emil", "Frida", "Goran", "Helga", "Ivan", "Julia", "Karim", "Lena",
    "Marek", "Nadia", "Oskar", "Paula", "Rune", "Silke", "Thea", "Ulrich", "Viktor", "Wiebke", "Xenia",
    "Zoltan",
];

const LAST_NAMES: [&str; 96] = [
    "Abel",
    "Adler",
    "Aslan",
    "Bakker",
    "Barros",
    "Becker",
    "Bergman",
    "Bianchi",
    "Brandt",
    "Cerny",
    "Colombo",
    "Conrad",
    "Dahl",
    "Demir",
    "Dietz",
    "Dubois",
    "Eklund",
    "Engel",
    "Esposito",
    "Fabian",
    "Falk",
    "Ferrari",
    "Fischer",
    "Frost",
    "Gallo",
    "Gerber",
    "Graf",
    "Gruber",
    "Hagen",
    "Halvorsen",
    "Hartmann",
    "Heller",
    "Horvat",
    "Ibsen",
    "Iversen",
    "Jacobi",
    "Jansson",
    "Jokinen",
    "Kaiser",
    "Kaplan",
    "Keller",
    "Klein",
    "Kowalski",
    "Kraus",
    "Lange",
    "Larsen",
    "Lehmann",
    "Lopez",
    "Lund",
    "Madsen",
    "Maier",
    "Marino",
    "Meyer",
    "Moreau",
    "Nagel",
    "Nielsen",
    "Nowak",
    "Nyberg",
    "Olsen",
    "Orlov",
    "Otto",
    "Pereira",
    "Petrov",
    "Pohl",
    "Popescu",
    "Quist",
    "Rask",
    "Reuter",
    "Richter",
    "Rossi",
    "Roth",
    "Sahin",
    "Sauer",
    "Schulz",
    "Seidel",
    "Silva",
    "Simon",
    "Sorensen",
    "Stark",
    "Steiner",
    "Strand",
    "Szabo",
    "Tamm",
    "Thomsen",
    "Toth",
    "Ulrichsen",
    "Urban",
    "Vogel",
    "Voss",
    "Wagner",
    "Weber",
    "Winter",
    "Wolff",
    "Yilmaz",
    "Zeller",
    "Ziegler",
];

const INSURERS: [&str; 12] = [
    "Anchorage Mutual",
    "Baltic Shield",
    "Copperfield Cover",
    "Dunes Assurance",
    "Elbgrund Insurance",
    "Fairlead Underwriters",
    "Greywater Mutual",
    "Harrow Assurance",
    "Islander Cover",
    "Juniper Insurance",
    "Kestrel Underwriters",
    "Lodestar Assurance",
];

const APPROVERS: [&str; 10] = [
    "budget owner",
    "finance director",
    "managing director",
    "personnel manager",
    "project sponsor",
    "purchasing manager",
    "regional director",
    "shift lead",
    "travel coordinator",
    "works council",
];

const ROLES: [&str; 12] = [
    "claims handler",
    "dock supervisor",
    "duty officer",
    "fleet dispatcher",
    "payroll clerk",
    "quality inspector",
    "returns clerk",
    "safety officer",
    "security guard",
    "service engineer",
    "team mentor",
    "warehouse planner",
];

const FLOORS: [&str; 6] =
    ["ground floor", "first floor", "second floor", "third floor", "fourth floor", "fifth floor"];

/// Draws values and sees to it that those which must differ do.
pub(super) struct Values {
    seed: u64,
    names: Vec<String>,
    insurers: Vec<&'static str>,
    used: BTreeSet<String>,
}

impl Values {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, &["people"]);
        let mut last = LAST_NAMES;
        dice.shuffle(&mut last);
        let mut first = FIRST_NAMES;
        dice.shuffle(&mut first);
        // Each last name once, each first name twice.
        let names =
            last.iter().zip(first.iter().cycle()).map(|(last, first)| format!("{first} {last}")).collect();
        let mut insurers = INSURERS.to_vec();
        dice.shuffle(&mut insurers);
        Self { seed, names, insurers, used: BTreeSet::new() }
    }

    /// The value of an attribute of an item. What has to be the same nowhere else is drawn until it is; the
    /// ranges are far wider than the number of draws.
    pub(super) fn draw(&mut self, kind: Kind, item: &Item, label: &str) -> Value {
        let mut dice = Dice::new(self.seed, &["value", item.name, label]);
        match kind {
            Kind::Person => Value::only(self.names.pop().unwrap_or_default()),
            Kind::Insurer => Value::only(self.insurers.pop().unwrap_or_default().to_owned()),
            Kind::Extension => {
                let number = self.unique(&mut dice, |dice| (2000 + dice.below(7000)).to_string());
                let accepted = vec![format!("ext. {number}"), format!("extension {number}")];
                Value { text: number, accepted }
            }
            Kind::FormNumber => {
                let text = self.unique(&mut dice, |dice| format!("F-{}", 100 + dice.below(900)));
                Value { accepted: vec![text.replace('-', ""), text.replace('-', " ")], text }
            }
            Kind::DocumentCode => {
                let text = self.unique(&mut dice, |dice| format!("NX-{}", 10 + dice.below(90)));
                Value { accepted: vec![text.replace('-', ""), text.replace('-', " ")], text }
            }
            Kind::Archive => {
                let text = self.unique(&mut dice, |dice| format!("archive room {}", 1 + dice.below(40)));
                Value { accepted: vec![text.replace("archive room", "room")], text }
            }
            Kind::Approver => role(dice.pick(&APPROVERS)),
            Kind::Role => role(dice.pick(&ROLES)),
            Kind::Floor => floor(dice.below(FLOORS.len())),
            Kind::Hours => hours(&mut dice),
            Kind::Clock => clock_value(9 * 60 + 15 * dice.below(37)),
            Kind::Euros => euros(amount(&mut dice, item.range)),
            Kind::Kilograms => kilograms(amount(&mut dice, item.range)),
            Kind::People => {
                let number = item.range.0 + dice.below(item.range.1 - item.range.0 + 1);
                Value {
                    text: format!("{number} people"),
                    accepted: vec![format!("{number} persons"), format!("{number} seats")],
                }
            }
            Kind::WorkingDays => {
                let number = 2 + dice.below(9);
                let accepted = vec![format!("{number} business days"), format!("{} workdays", number)];
                Value { text: format!("{number} working days"), accepted }
            }
            Kind::Days => pick_days(&mut dice),
            Kind::Months => months(*dice.pick(&[3, 6, 9, 12, 15, 18, 24, 30, 36, 48, 60]).unwrap_or(&12)),
            Kind::Years => years(*dice.pick(&[2, 3, 4, 5, 6, 7, 8, 10, 12, 15]).unwrap_or(&10)),
            Kind::TimeLimit => time_limit(&mut dice),
        }
    }

    fn unique(&mut self, dice: &mut Dice, draw: impl Fn(&mut Dice) -> String) -> String {
        loop {
            let text = draw(dice);
            if self.used.insert(text.clone()) {
                return text;
            }
        }
    }
}

impl Value {
    fn only(text: String) -> Self {
        Self { text, accepted: Vec::new() }
    }
}

/// An amount between the bounds, as round as its size asks for.
fn amount(dice: &mut Dice, (low, high): (usize, usize)) -> usize {
    let step = match high {
        0..=25 => 1,
        26..=1_000 => 5,
        1_001..=6_000 => 50,
        _ => 500,
    };
    let steps = high.saturating_sub(low) / step;
    low.next_multiple_of(step) + step * dice.below(steps.max(1))
}

/// A number with a comma between thousands, as the pages write it.
fn grouped(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

fn euros(number: usize) -> Value {
    let grouped = grouped(number);
    let mut accepted = vec![format!("{grouped} EUR"), format!("EUR {grouped}"), format!("€{grouped}")];
    if number >= 1_000 {
        accepted.push(format!("{number} euros"));
    }
    Value { text: format!("{grouped} euros"), accepted }
}

fn kilograms(number: usize) -> Value {
    let mut accepted = vec![format!("{} kilograms", grouped(number)), format!("{number} kg")];
    accepted.retain(|other| *other != format!("{} kg", grouped(number)));
    Value { text: format!("{} kg", grouped(number)), accepted }
}

fn months(number: usize) -> Value {
    let mut accepted = vec![format!("{number}-month")];
    if number == 12 {
        accepted.extend(["1 year".to_owned(), "one year".to_owned()]);
    } else if number.is_multiple_of(12) {
        accepted.push(format!("{} years", number / 12));
    }
    Value { text: format!("{number} months"), accepted }
}

fn years(number: usize) -> Value {
    Value { text: format!("{number} years"), accepted: vec![format!("{number}-year")] }
}

fn pick_days(dice: &mut Dice) -> Value {
    let number = *dice.pick(&[7, 10, 14, 15, 20, 21, 28, 30, 40, 45, 60, 75, 90]).unwrap_or(&30);
    Value { text: format!("{number} days"), accepted: vec![format!("{number}-day")] }
}

fn time_limit(dice: &mut Dice) -> Value {
    let (number, unit) = *dice
        .pick(&[
            (20, "minutes"),
            (30, "minutes"),
            (45, "minutes"),
            (90, "minutes"),
            (2, "hours"),
            (3, "hours"),
            (4, "hours"),
            (8, "hours"),
            (12, "hours"),
            (24, "hours"),
            (36, "hours"),
            (48, "hours"),
            (72, "hours"),
            (5, "working days"),
            (10, "working days"),
        ])
        .unwrap_or(&(2, "hours"));
    let accepted = match unit {
        "minutes" => vec![format!("{number} min")],
        "hours" => vec![format!("{number} h"), format!("{number}h")],
        _ => vec![format!("{number} business days")],
    };
    Value { text: format!("{number} {unit}"), accepted }
}

fn role(role: Option<&&str>) -> Value {
    let text = role.copied().unwrap_or_default().to_owned();
    Value { accepted: vec![format!("the {text}")], text }
}

fn floor(number: usize) -> Value {
    let text = FLOORS.get(number).copied().unwrap_or_default().to_owned();
    Value { accepted: vec![format!("floor {number}")], text }
}

fn hours(dice: &mut Dice) -> Value {
    let from = 5 * 60 + 30 * dice.below(9);
    let until = 15 * 60 + 30 * dice.below(17);
    let (a, b) = (clock(from), clock(until));
    let (short_a, short_b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    Value {
        accepted: vec![
            format!("{a}-{b}"),
            format!("{a}–{b}"),
            format!("{short_a} to {short_b}"),
            format!("{a} until {b}"),
        ],
        text: format!("{a} to {b}"),
    }
}

fn clock_value(minutes: usize) -> Value {
    let text = clock(minutes);
    let short = text.trim_start_matches('0').to_owned();
    let accepted = if short == text { Vec::new() } else { vec![short] };
    Value { text, accepted }
}

fn clock(minutes: usize) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
