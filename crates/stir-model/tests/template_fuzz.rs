//! Chat templates put together at random from the pieces of templates that work: reading and rendering one ends soon, stays
//! small, and is an error or a text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod common;

use std::{error::Error, fs, iter, path::Path, time::Instant};

use common::peak;
use serde_json::{Value, json};
use stir_core::{SampleRng, toy::fuzz_runs};
use stir_model::{ChatOptions, ChatTemplate, ModelError};

/// Templates that between them use what templates of models use.
const SEEDS: [&str; 21] = [
    "{%- for m in messages %}\n    {{- '<|' ~ m.role ~ '|>' + m['content'] | trim }}\n{%- endfor %}\n{{ bos_token }}",
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{{ messages[0].content }}{% else %}{% set rest = messages %}{% endif %}{{ rest | length }}",
    "{% set ns = namespace(last=-1, tool=false) %}{% for m in messages[::-1] %}{% set i = (messages | length - 1) - loop.index0 %}{% if ns.last < 0 and m.role != 'tool' %}{% set ns.last = i %}{% endif %}{% endfor %}{{ ns.last }}",
    "{% set ns = namespace(a=1) %}{% set ns.b = ns.items() | list %}{% set ns.c = ns | chain({'d': [1]}) %}{% set ns.d = ns.values()[0:] %}{{ ns.c.d }}{{ ns == ns.b }}",
    "{% macro show(value, depth=0) %}{% if value is mapping %}{% for k, v in value.items() %}{{ k }}: {{ show(v, depth + 1) }}{% endfor %}{% elif value is string %}{{ value | tojson }}{% else %}{{ value }}{% endif %}{% endmacro %}{{ show(tools) }}",
    "{% for a in range(3) %}{% for b in range(a, 9, 2) %}{% if b is odd %}{% continue %}{% endif %}{% if b > 6 %}{% break %}{% endif %}{{ a * b // 2 % 3 ** 2 - b / 4 }}{% endfor %}{% endfor %}",
    "{{ 'x,y,z'.split(',', 1)[-1].strip('z').lstrip().rstrip('y').upper().title().replace('X', 'ab', 1) }}",
    "{{ '%s is %5.2f and %03d%%' % ('it', 2.5, 7) }}{{ '{0:>8}|{name}'.format(1, name='n') }}",
    "{% raw %}{{ not }} {% this %}{% endraw %}{# a note #}{% generation %}{{ messages[-1].content }}{% endgeneration %}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}{% set block | trim %}  text {% endset %}{{ block }}{% with a = 1, b = [2] %}{{ a in b }}{% endwith %}",
    "{{ tools | tojson(indent=2, sort_keys=true) }}{{ tools | map(attribute='function') | list | first | string }}",
    "{{ messages | selectattr('role', 'in', ['user', 'tool']) | map(attribute='content') | join('\n') | indent(4, true) }}",
    "{{ messages | rejectattr('role', 'equalto', 'user') | list | length }}{{ [3, 1, 2] | sort(reverse=true) | unique | batch(2) | list }}",
    "{{ strftime_now('%d %B %Y') }}{{ raise_exception('no') if messages | length > 99 else '' }}",
    "{% for k, v in {'b': 1, 'a': [none, true]} | dictsort %}{{ (k, v) }}{{ loop.cycle('x', 'y') }}{{ loop.previtem is defined }}{% else %}none{% endfor %}",
    "{% macro wrap() %}[{{ caller(1) }}]{% endmacro %}{% call(n) wrap() %}{{ n }}{% endcall %}{{ cycler('a', 'b').next() }}{{ joiner(', ')() }}",
    "{{ 'abc'[::-1] ~ 'abc'[-2:] ~ [1, 2, 3][5:] }}{{ 'ab' * 3 }}{{ [0] * 4 + [1] }}{{ {'k': {'n': 1}}.k.get('n', 2) }}{{ (1, 'a') }}",
    "{{ 'it'.center(8, '.') }}{{ '7'.zfill(3) }}{{ 'a\tb'.expandtabs(4) }}{{ 'AbC'.swapcase().casefold() }}{{ 'aXbX'.partition('X') }}{{ 'ab\ncd'.splitlines() }}",
    "{{ '<a&b>' | e }}{{ '5' | int + 1.5 | float | round(1) }}{{ missing | default('d', true) }}{{ 'ünï' | length }}{{ -7 // 2 }}",
    "{% if not (messages is iterable and messages is not mapping) or tools is none and 1 < 2 <= 2 %}a{% elif 'a' not in 'abc' %}b{% endif %}{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is sequence else x }}{% endfor %}",
    "{{ messages[0].content.split('</think>')[-1].lstrip('\n') if '</think>' in messages[0].content else messages[0].content.count('a') }}{{ [1, 2] | sum }}{{ [[1, 2], [3]] | map('last') | max }}",
];

/// What takes the place of a number or a text.
const EDGES: [&str; 18] = [
    "0",
    "-1",
    "1.5",
    "99999",
    "2147483648",
    "10**9",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "''",
    "'%'",
    "'{'",
    "'\u{e9}\u{1f600}'",
    "none",
    "messages",
    "[]",
    "range(9999)",
    "('x' * 10**5)",
];

/// Cuts a template into words, texts in quotes, spaces and signs.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let run = |of: fn(char) -> bool| rest.find(|letter| !of(letter)).unwrap_or(rest.len());
        let length = match first {
            '\'' => rest[1..].find('\'').map_or(1, |end| end + 2),
            letter if letter.is_alphanumeric() || letter == '_' => {
                run(|letter| letter.is_alphanumeric() || letter == '_')
            }
            letter if letter.is_whitespace() => run(char::is_whitespace),
            _ if ["{{", "{%", "{#", "}}", "%}", "#}", "**", "//", "=="].iter().any(|sign| rest.starts_with(sign)) => 2,
            letter => letter.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Puts a template together from the pieces of one or two.
fn template(seeds: &[Vec<&str>], number: usize, rng: &mut SampleRng) -> String {
    let mut made = seeds[number % seeds.len()].clone();
    if rng.below(4) == 0 {
        made.extend(&seeds[rng.below(seeds.len())]);
    }
    for _ in 0..1 + rng.below(4) {
        let (at, other) = (rng.below(made.len()), &seeds[rng.below(seeds.len())]);
        let from = rng.below(other.len());
        let part = &other[from..other.len().min(from + 1 + rng.below(12))];
        match rng.below(8) {
            0 => drop(made.remove(at)),
            1 => made[at] = EDGES[rng.below(EDGES.len())],
            2 => {
                let literals: Vec<usize> = (0..made.len())
                    .filter(|&at| made[at].starts_with(|c: char| c == '\'' || c.is_ascii_digit()))
                    .collect();
                if !literals.is_empty() {
                    made[literals[rng.below(literals.len())]] = EDGES[rng.below(EDGES.len())];
                }
            }
            3 => made.insert(at, other[from]),
            4 => made[at] = other[from],
            5 => drop(made.splice(at..at, part.iter().copied())),
            6 => made.truncate(at.max(1)),
            _ => {
                let again = made[at..made.len().min(at + 8)].to_vec();
                drop(made.splice(at..at, again));
            }
        }
        if made.is_empty() {
            return String::new();
        }
    }
    made.concat()
}

/// Reads and renders a template of the model in `folder`. Returns its text, if it makes one.
fn render(folder: &Path, text: &str) -> Option<String> {
    fs::write(folder.join("chat_template.jinja"), text).unwrap();
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<think>a</think>\n 2 + 2? é", "tool_calls": [{"name": "f"}]},
    ]);
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"b": [1, 2.5, null]}}}]);
    let variables = json!({ "tools": tools }).as_object().unwrap().clone();
    let options = ChatOptions { variables, ..ChatOptions::default() };
    let rendered = ChatTemplate::from_dir(folder)
        .and_then(|template| template.unwrap().render_with::<Value>(messages.as_array().unwrap(), &options));
    if let Err(error) = &rendered {
        assert!(matches!(error, ModelError::ChatTemplate { .. }), "{error:?}");
        let causes = iter::successors(Some(error as &dyn Error), |&error| error.source());
        let causes: String = causes.map(|error| format!("{error}; ")).collect();
        // The engine divides by zero in `loop.cycle()`.
        assert!(!causes.contains("panicked") || text.contains("cycle"), "{causes}: {text}");
    }
    rendered.ok()
}

/// Renders `count` templates. Returns how many made a text.
fn run(count: usize, seed: u64) -> usize {
    let seeds: Vec<Vec<&str>> = SEEDS.iter().map(|text| pieces(text)).collect();
    let (mut rng, mut usable, mut slowest, mut longest) = (SampleRng::new(seed, 0), 0, 0.0f64, 0);
    let folder = tempfile::tempdir().unwrap();
    let broken: Vec<&str> = SEEDS.into_iter().filter(|text| render(folder.path(), text).is_none()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    for i in 0..count {
        let text = template(&seeds, i, &mut rng);
        let begun = Instant::now();
        if let Some(made) = render(folder.path(), &text) {
            usable += 1;
            longest = longest.max(made.len());
        }
        let seconds = begun.elapsed().as_secs_f64();
        assert!(seconds < 10.0, "{seconds} s: {text}");
        slowest = slowest.max(seconds);
    }
    assert!(peak().is_none_or(|mib| mib < 400), "{:?} MiB", peak());
    println!("{usable} of {count} made a text, of up to {longest} bytes, in up to {slowest:.3} s; {:?} MiB", peak());
    usable
}

#[test]
fn templates_put_together_at_random_end_soon_and_stay_small() {
    let usable = run(2_000, 1);
    assert!(usable > 200, "{usable}");
}

#[test]
#[ignore = "takes minutes: STIR_FUZZ templates"]
fn many_templates_put_together_at_random_end_soon_and_stay_small() {
    let (count, seed) = fuzz_runs(1_000_000);
    let usable = run(count, seed);
    assert!(usable > count / 10, "{usable}");
}
