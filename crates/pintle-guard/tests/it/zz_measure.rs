use crate::guard;
use std::time::Instant;
#[test]
fn measure() {
    let plain = pintle_guard::Guard::new(&Default::default()).unwrap();
    let with = guard();
    let shakespeare = std::fs::read_to_string("/work/shared/data/model/tinyshakespeare.txt").unwrap();
    let mut handbook = String::new();
    fn walk(p: &std::path::Path, out: &mut String) {
        for e in std::fs::read_dir(p).unwrap() {
            let e = e.unwrap().path();
            if e.is_dir() {
                walk(&e, out)
            } else if let Ok(t) = std::fs::read_to_string(&e) {
                out.push_str(&t)
            }
        }
    }
    walk("/work/shared/data/model/18f-handbook".as_ref(), &mut handbook);
    for (name, g) in [("plain", &plain), ("dict", &*with)] {
        for (tn, t) in [("shakespeare", &shakespeare), ("handbook", &handbook)] {
            let mut best = f64::MAX;
            let mut n = 0;
            for _ in 0..7 {
                let s = Instant::now();
                n = g.scan(t).len();
                best = best.min(s.elapsed().as_secs_f64());
            }
            println!("{name} {tn} {} bytes {:.0} MB/s, {n} found", t.len(), t.len() as f64 / best / 1e6);
        }
        for size in [2048, 8192] {
            let mut prompt = handbook[..handbook.floor_char_boundary(size - 200)].to_owned();
            prompt.push_str(" Customer Anna Lind, anna@firm.org, +44 20 7946 0958, IBAN DE89 3704 0044 0532 0130 00, card 4111 1111 1111 1111, server 10.1.2.3");
            let mut v = vec![];
            let mut n = 0;
            for _ in 0..2000 {
                let s = Instant::now();
                n = g.scan(&prompt).len();
                v.push(s.elapsed().as_secs_f64() * 1e6);
            }
            v.sort_by(f64::total_cmp);
            println!(
                "{name} {size} prompt ({}): p50 {:.1} us p99 {:.1} us, {n} found",
                prompt.len(),
                v[1000],
                v[1980]
            );
        }
        let mut w = pintle_guard::AnswerWindow::new(guard(), pintle_guard::Treatments::PASS);
        let mut out = String::new();
        let s = Instant::now();
        let mut k = 0;
        let mut rest = &shakespeare[..400_000];
        while !rest.is_empty() {
            let (a, b) = rest.split_at(4);
            w.push(a, &mut out);
            rest = b;
            k += 1;
        }
        println!("window: {:.0} ns a push of 4 bytes", s.elapsed().as_nanos() as f64 / k as f64);
    }
    for u in super::hostile::UNITS {
        let t = u.repeat(1_000_000 / u.len());
        let s = Instant::now();
        with.scan(&t);
        let r = t.len() as f64 / s.elapsed().as_secs_f64() / 1e6;
        if r < 40.0 {
            println!("hostile {u:?} {r:.1} MB/s");
        }
    }
    for f in plain.scan(&handbook).iter().take(120) {
        println!(
            "{} {:?}",
            f.kind,
            &handbook[handbook.floor_char_boundary(f.start.saturating_sub(30))..f.end]
        );
    }
}
#[test]
fn presidio() {
    let g = pintle_guard::Guard::new(&Default::default()).unwrap();
    let data: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string("/work/shared/data/guard/presidio-research-synth-v2.json").unwrap(),
    )
    .unwrap();
    let map = [
        ("EMAIL_ADDRESS", "email"),
        ("PHONE_NUMBER", "phone"),
        ("CREDIT_CARD", "credit_card"),
        ("IBAN_CODE", "iban"),
        ("US_SSN", "us_ssn"),
        ("IP_ADDRESS", "ip_address"),
    ];
    let mut tp = std::collections::BTreeMap::<&str, [u32; 4]>::new();
    for row in data.as_array().unwrap() {
        let text = row["full_text"].as_str().unwrap();
        let found = g.scan(text);
        let idx: Vec<usize> = text.char_indices().map(|c| c.0).chain([text.len()]).collect();
        let spans: Vec<(String, usize, usize)> = row["spans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| {
                (
                    s["entity_type"].as_str().unwrap().into(),
                    idx[s["start_position"].as_u64().unwrap() as usize],
                    idx[s["end_position"].as_u64().unwrap() as usize],
                )
            })
            .collect();
        for (gold, ours) in map {
            let e = tp.entry(ours).or_default();
            for s in spans.iter().filter(|s| s.0 == gold) {
                e[0] += 1;
                if found.iter().any(|f| &*f.kind == ours && f.start < s.2 && s.1 < f.end) {
                    e[1] += 1
                } else {
                    println!("MISS {ours} {:?}", &text[text.floor_char_boundary(s.1.saturating_sub(50))..s.2])
                }
            }
            for f in found.iter().filter(|f| &*f.kind == ours) {
                e[2] += 1;
                if spans.iter().any(|s| s.0 == gold && f.start < s.2 && s.1 < f.end) {
                    e[3] += 1
                } else {
                    println!(
                        "FALSE {ours} {:?}",
                        &text[text.floor_char_boundary(f.start.saturating_sub(40))..f.end]
                    )
                }
            }
        }
        for f in &found {
            if !map.iter().any(|m| m.1 == &*f.kind) {
                println!(
                    "OTHER {} {:?}",
                    f.kind,
                    &text[text.floor_char_boundary(f.start.saturating_sub(40))..f.end]
                );
            }
        }
    }
    for (k, v) in tp {
        println!("{k}: recall {}/{} precision {}/{}", v[1], v[0], v[3], v[2]);
    }
}
