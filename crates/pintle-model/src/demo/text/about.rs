//! Pages about the company itself: prose without tables.

/// File, title, and paragraphs.
pub(in crate::demo) const ABOUT: &[(&str, &str, &[&str])] = &[
    (
        "history",
        "Our history",
        &[
            "Nordwind Logistics began with one sailing boat and a family that carried bricks and butter along the Baltic coast. The boat was sold, the family stayed, and the first lorry was bought with the money. On its door stood the word that sailors use for the wind from the north, and the name has never been changed.",
            "After the war the company lived on timber and coal. In the sixties a daughter of the founder took over and bet on containers when most of the town laughed at steel boxes. Ten years later every second box in the harbour was moved by her drivers.",
            "Today the company works in nine countries. It belongs to a foundation, so that profits stay in the business or go to schools and lifeboats. The old boat was found again, repaired by apprentices, and lies in front of the head office.",
        ],
    ),
    (
        "values",
        "What we stand for",
        &[
            "We promise little and keep it. A customer who hears an hour from us can plan with that hour, and when it slips, we call before the customer does. This sounds simple and takes the whole company to achieve.",
            "We speak plainly. Bad news travels upwards on the same day, and nobody is punished for bringing it. Rules are written so that a new driver understands them, and a rule that nobody can explain is struck out.",
            "We look after people and things. Work that hurts is changed, tools that break are replaced, and what can be repaired is repaired. Decisions are taken where the knowledge is, which is seldom at the longest table.",
        ],
    ),
    (
        "using-the-handbook",
        "How to use this handbook",
        &[
            "This handbook gathers what people at Nordwind Logistics need in their daily work. Each page has one subject. The most important facts stand in a small table or a short list, and the text around it explains why they are as they are.",
            "Overview pages repeat facts from single pages so that they can be compared. If two pages should ever disagree, the single page counts, and the editors would like to hear about it on the same day.",
            "Pages are reviewed every year in the month of their last change. Everybody may propose a better wording. The editors read each proposal and answer it, also when the answer is no.",
            "Please do not print pages and hang them on walls, because walls are never updated.",
        ],
    ),
    (
        "working-hours",
        "Working hours and breaks",
        &[
            "Office teams agree on their own hours around a core from ten to three. Shifts in halls and on the road follow the rota, which is published four weeks ahead and changed only with the consent of those concerned.",
            "Breaks are there to be taken. Nobody works for more than six hours without one, and drivers follow the stricter rules of the road. Rest rooms have daylight, armchairs and a door that closes.",
            "Extra hours are agreed beforehand and are paid or taken as free time within three months. Managers watch over the totals of their teams. A team that works too long for a whole quarter gets help, and not a lecture.",
        ],
    ),
    (
        "remote-work",
        "Working from home",
        &[
            "Those whose work allows it may work from home for part of the week. Teams agree on days on which all are present, and new colleagues come in more often while they learn.",
            "The same care holds at home as in the office. Screens are locked, papers with names are not left on the kitchen table, and telephone calls about customers are taken behind a closed door. A company computer is used for company work alone.",
            "Accidents at home during work are insured and must be reported like any other. Lamps, chairs and screens can be borrowed. Working from abroad for a few weeks is possible and needs a talk about taxes first.",
        ],
    ),
    (
        "sustainability",
        "Energy and climate",
        &[
            "Moving goods takes energy, and most of ours still comes from diesel. We count it for each consignment and publish the sum, also in years in which it does not look good.",
            "Three things have helped most: fuller lorries, calmer driving and rails in place of roads on the long legs. Solar roofs feed the forklifts, and the first electric tractors pull trailers across the yards.",
            "Offsets are bought for flights alone and are no excuse for the rest. Every site has a person who collects ideas, and the best ones are tried within a quarter. Not all of them work, and those that failed are listed too.",
        ],
    ),
    (
        "code-of-conduct",
        "Code of conduct",
        &[
            "We treat each other with respect, whatever a person's task, language, faith or age. Jokes at somebody's cost are not funny here. Whoever sees that a line is crossed says so or asks somebody to say so.",
            "Nobody takes or gives an advantage in order to win a contract. Invitations are shown in the open register. Family ties to suppliers are named before a decision, and then somebody else decides.",
            "Concerns can be reported to a manager, to the works council or to an outside lawyer who does not pass on names. Reports in good faith have no bad consequences, even when they turn out to be wrong.",
        ],
    ),
    (
        "artificial-intelligence",
        "Using artificial intelligence",
        &[
            "Assistants may draft, shorten, translate and explain. A person reads what they wrote before it leaves the house, and that person answers for it. An assistant's text is a proposal and never a decision.",
            "Which data may go to which model is decided by the control plane, and everybody can see why a request was stopped. Personal data stays on our own machines. Nobody pastes customers' lists into tools that the company has not approved.",
            "Small models of our own are trained on pages like this one. They know these pages and little else, and they make mistakes with a confident tone. Use them to find a page quickly, and then read the page.",
        ],
    ),
    (
        "apprentices",
        "Apprentices",
        &[
            "Every August about thirty young people begin an apprenticeship with us. They learn to become forwarding agents, drivers, mechatronics technicians or warehouse specialists, and they see at least four departments in their first year.",
            "Each apprentice has a mentor who is not the boss. There is time for school, time for practice and time for questions that seem silly and seldom are. Reports are written in working hours.",
            "In the third year a group runs a small depot for a whole week without help from above. They plan tours, settle complaints and close the books. Old hands say that it is the best-run week of the year.",
        ],
    ),
    (
        "canteen",
        "Canteens and kitchens",
        &[
            "Larger sites have a canteen with two warm dishes, one of them without meat. Smaller ones have a kitchen with a stove, a kettle and a shelf for each shift. Drivers from other companies are welcome at our tables.",
            "Menus are published on Friday for the week to come and name what people may be allergic to. Leftovers are offered at half the price after the lunch hour, and nothing edible is thrown away without a try.",
            "Cups belong into the machine, not onto it. Whoever takes the last coffee makes the next pot. These two sentences have caused more talk than any other page of this handbook, and they stay.",
        ],
    ),
];
