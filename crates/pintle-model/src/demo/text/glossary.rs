//! The glossary: terms of the trade, each defined in its first sentence.

/// Term, and its text.
pub(in crate::demo) const GLOSSARY: &[(&str, &str)] = &[
    (
        "Bonded warehouse",
        "A bonded warehouse is a closed store in which goods from abroad wait without duty being paid. The duty falls due when they are taken out, and it is never charged when they travel on to another country. Keepers hold a licence and count the stock every month.",
    ),
    (
        "Bill of lading",
        "A bill of lading is a paper that a ship's master signs for goods taken on board. It proves the receipt, states the terms of carriage, and whoever holds the original may claim the goods. Losing it therefore means weeks of letters and a bank guarantee.",
    ),
    (
        "Demurrage",
        "Demurrage is the charge for a container that stays at the terminal longer than its free days. It grows with every day, so that the third week costs far more than the first. Planners see a warning two days before it begins.",
    ),
    (
        "Cross docking",
        "Cross docking is a way of working in which goods change lorries without being stored. What arrives in the evening leaves before dawn, and a hall needs doors rather than racks. It works as long as labels are right and tours are on time.",
    ),
    (
        "Groupage",
        "Groupage is the joining of small loads from several senders into one full lorry. Each sender pays for the share of space that is used. The art lies in finding loads that fit together in place, time and kind.",
    ),
    (
        "Tachograph",
        "A tachograph is a device in the lorry that records speed, distance and the driver's hours. Each driver inserts a card of his or her own. The files are read out every four weeks and checked for breaks that were too short.",
    ),
    (
        "Incoterms",
        "Incoterms are the common rules that say who pays for carriage and who bears the risk at each point of a journey. Three letters in a contract are enough to name them. Without a place behind the letters they are worth little.",
    ),
    (
        "Last mile",
        "The last mile is the final part of a delivery, from the local depot to the customer's door. It is the shortest part and the most expensive one, because every stop takes its own time. Cargo bicycles have made it quieter in old towns.",
    ),
    (
        "Reefer",
        "A reefer is a container or trailer with a cooling unit of its own. It takes power from the ship, from the lorry or from a diesel engine. Before loading it is cooled down, as it keeps cold but hardly makes it.",
    ),
    (
        "Swap body system",
        "The swap body system is the exchange of boxes on legs between lorries and trains. A driver sets one down, drives beneath another and is gone within ten minutes. No crane and no ramp is needed.",
    ),
    (
        "Tare weight",
        "The tare weight is the weight of an empty vehicle or container. Together with the load it gives the gross weight, which bridges and axles must bear. It is painted on the door and checked on our own scale.",
    ),
    (
        "Milk run",
        "A milk run is a round tour that collects small loads from several suppliers in a fixed order. The name comes from the farms whose milk was fetched each morning. Fixed times make it dull, and that is its strength.",
    ),
    (
        "Proof of delivery",
        "The proof of delivery is the signed record that goods have reached the right hands. It may be a sheet of paper or a signature on glass. Without it, an invoice can be disputed and often is.",
    ),
    (
        "Dwell time",
        "Dwell time is the time that goods or vehicles stand still at one place. Long dwell times hide in yards, at borders and before weekends. Halving them does more for speed than any faster lorry.",
    ),
];

/// Sentences that close a page of the glossary.
pub(in crate::demo) const AROUND: &[&str] = &[
    "New colleagues meet the term in their first week, and it comes up again in nearly every talk with customers.",
    "In letters to customers we write it out in full, because short forms have led to misunderstandings before.",
    "Translations into German, Polish and Danish are kept in the dictionary that the language circle maintains.",
    "The trade uses the word loosely; on this page and in our contracts it has exactly the meaning given above.",
    "If you read it used in another way in one of our pages, please write a note to the editors of the handbook.",
    "An example with figures is part of the course material and can be found in LearnPort.",
    "Apprentices are asked about it in their second year, and most of them know it well by then.",
    "Older papers may use another name for the same thing, which is explained in their margins.",
];
