use super::row::{Arity, MANY, Row, Support, context};
use super::rows;
use std::fmt::Write as _;

/// `docs/nginx-directives.md`, from the rows.
pub fn reference() -> String {
    let mut out = String::from(INTRODUCTION);
    for (title, lead, wanted) in SECTIONS {
        let mut rows: Vec<&Row> = rows::all().filter(|row| wanted(&row.support)).collect();
        rows.sort_by_key(|row| (row.name, row.contexts));
        let _ = write!(
            out,
            "\n## {title}\n\n{lead}\n\n| directive | words | where | what it does | |\n|---|---|---|---|---|\n"
        );
        for row in rows {
            let places: Vec<_> = context::names(row.contexts).collect();
            let places = if places.len() == 9 { "anywhere".to_owned() } else { places.join(", ") };
            let (name, words, doc) = (row.name, words(row.arity), row.doc);
            let _ = writeln!(out, "| `{name}` | {words} | {places} | {doc} | {} |", note(&row.support));
        }
    }
    out
}

const INTRODUCTION: &str = "# Directives of nginx.conf

Generated from the rows in `crates/conf/src/nginx`; `UPDATE_EXPECT=1 cargo test -p evenkeel-conf` writes it anew.

The grammar is nginx's: blocks, quotes, escapes, comments, `${name}`, `include` with wildcards. A directive that is not below is
an error, with the nearest one that is. What would change an answer and does not act yet is an error too, never silence.

Regular expressions (`location ~`, `server_name ~`) are those of the Rust `regex` crate, over bytes: what PCRE has beyond
them, look-around (`(?=`, `(?!`, `(?<=`) and back-references (`\\1` in the pattern), is refused with an error. In return no
request can make matching slow.
";

type Section = (&'static str, &'static str, fn(&Support) -> bool);

const SECTIONS: [Section; 4] = [
    ("Supported", "They act as in nginx.", |support| matches!(support, Support::Supported)),
    (
        "Accepted, with a warning",
        "Answers are correct, and somebody will miss something. With `off` there is no warning.",
        |support| matches!(support, Support::Degraded(_)),
    ),
    ("Accepted", "They need no effect here.", |support| matches!(support, Support::Harmless(_))),
    ("Not supported yet", "An error, except that `off` is accepted where that is what happens anyway.", |support| {
        matches!(support, Support::Rejected(_))
    }),
];

fn note(support: &Support) -> &'static str {
    match support {
        Support::Supported => "",
        Support::Harmless(why) | Support::Degraded(why) | Support::Rejected(why) => why,
    }
}

fn words(arity: Arity) -> String {
    let count = |least: usize, most: usize| match (least, most) {
        (least, MANY) => format!("{least} or more"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    match arity {
        Arity::Flag => "`on` or `off`".to_owned(),
        Arity::Words(least, most) => count(least, most),
        Arity::Block(0, 0) => "block".to_owned(),
        Arity::Block(least, most) => format!("{} and block", count(least, most)),
    }
}
