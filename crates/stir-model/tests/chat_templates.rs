//! Chat templates: those of real checkpoints against what Jinja2 rendered, and templates of our own for every mechanism.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    error::Error,
    fs,
    time::{Duration, Instant, SystemTime},
};

use common::{peak, shared};
use serde_json::{Value, json};
use stir_model::{ChatOptions, ChatTemplate, Message, ModelError, opens_reasoning};

fn load(files: &[(&str, &str)]) -> Result<Option<ChatTemplate>, ModelError> {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).unwrap());
    ChatTemplate::from_dir(dir.path())
}

fn template(text: &str) -> ChatTemplate {
    let config = r#"{"bos_token": "<b>", "eos_token": {"content": "<e>", "special": true}}"#;
    load(&[("chat_template.jinja", text), ("tokenizer_config.json", config)]).unwrap().unwrap()
}

/// The template of a real checkpoint.
fn real(name: &str) -> ChatTemplate {
    ChatTemplate::from_dir(&shared(&format!("tokenizers/{name}"))).unwrap().unwrap()
}

fn render(text: &str) -> String {
    template(text).render(&[Message::user("hi")]).unwrap()
}

/// The error of a template that must fail, with its causes.
fn failure(text: &str) -> String {
    let error = template(text).render(&[Message::user("hi")]).unwrap_err();
    assert!(matches!(error, ModelError::ChatTemplate { .. }), "{error:?}");
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(|error| format!("{error}; ")).collect()
}

fn variables(pairs: Value) -> ChatOptions {
    ChatOptions { variables: pairs.as_object().unwrap().clone(), ..ChatOptions::default() }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn templates_of_real_checkpoints_render_as_jinja_renders_them() {
    // The vectors also cover templates that the shared data have no folder for.
    let names = ["qwen2.5-instruct", "qwen3", "llama3.2-instruct", "deepseek-r1-distill-qwen-1.5b"];
    let vectors = fs::read_to_string(shared("chat_templates/render_vectors.jsonl")).unwrap();
    let mut compared = 0;
    for line in vectors.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let Some(name) = names.iter().find(|name| row["template"] == **name) else { continue };
        let chat = real(name);
        let mut options = variables(json!({"date_string": row["date_string"]}));
        options.add_generation_prompt = row["add_generation_prompt"].as_bool().unwrap();
        let rendered = chat.render_with(row["messages"].as_array().unwrap(), &options);
        match row["rendered"].as_str() {
            Some(expected) => assert_eq!(rendered.unwrap(), expected, "{line}"),
            None => assert!(rendered.is_err(), "{line}"),
        }
        compared += 1;
    }
    assert_eq!(compared, 6 * names.len());
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn templates_of_other_checkpoints_render() {
    let mut rendered = 0;
    for path in fs::read_dir(shared("chat_templates")).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "jinja") {
            let text =
                template(&fs::read_to_string(&path).unwrap()).render(&[Message::user("What is 2 + 3?")]).unwrap();
            assert!(text.contains("What is 2 + 3?") && !text.contains("{%"), "{}: {text}", path.display());
            assert_eq!(opens_reasoning(&text), path.to_string_lossy().contains("DeepSeek-R1"));
            rendered += 1;
        }
    }
    assert!(rendered > 0);
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn qwen3_thinks_unless_a_variable_forbids_it() {
    let chat = real("qwen3");
    let messages = [Message::user("2 + 3?"), Message::assistant("<think>\n5\n</think>\n\n5"), Message::user("why?")];
    let thinking = chat.render(&messages).unwrap();
    assert!(thinking.ends_with("<|im_start|>assistant\n") && !thinking.contains("<think>"));
    let quick = chat.render_with(&messages, &variables(json!({"enable_thinking": false}))).unwrap();
    assert_eq!(quick, thinking + "<think>\n\n</think>\n\n");
    assert!(!opens_reasoning(&quick));
}

#[test]
fn variables_of_the_template_pass_through() {
    let text = "{{ bos_token }}{% if think is defined and think is false %}quick{% endif %}";
    let chat = template(text);
    assert_eq!(chat.render(&[]).unwrap(), "<b>");
    let options = variables(json!({"think": false, "bos_token": ""}));
    assert_eq!(chat.render_with::<Message>(&[], &options).unwrap(), "quick");
}

#[test]
fn tools_and_documents_are_none_unless_given() {
    let text = "{{ tools is none }}{{ documents is defined }}{% if tools is iterable %}{{ tools | length }}{% endif %}";
    let chat = template(text);
    assert_eq!(chat.render(&[]).unwrap(), "TrueTrue");
    let tools = variables(json!({"tools": [{"name": "f"}], "documents": null}));
    assert_eq!(chat.render_with::<Message>(&[], &tools).unwrap(), "FalseTrue1");
}

#[test]
fn keys_keep_the_order_of_the_request() {
    let text = "{{ messages[0] | tojson }}{% for name in extra %}{{ name }}{% endfor %}";
    let message: Value = serde_json::from_str(r#"{"z": 1, "y": {"q": 2, "p": 3}, "x": []}"#).unwrap();
    let options = variables(json!({"extra": {"n": 1, "m": 2}}));
    let rendered = template(text).render_with(std::slice::from_ref(&message), &options).unwrap();
    assert_eq!(rendered, r#"{"z": 1, "y": {"q": 2, "p": 3}, "x": []}nm"#);
}

#[test]
fn messages_may_be_more_than_role_and_content() {
    let text = "{% for m in messages %}[{{ m.role }}|{{ 'nothing' if m['content'] is none else m['content'] }}\
        {% for call in m.tool_calls or [] %}|{{ call.name }} {{ call.arguments | tojson }}{% endfor %}]{% endfor %}";
    let messages = [
        json!({"role": "user", "content": "x"}),
        json!({"role": "assistant", "content": null, "tool_calls": [{"name": "f", "arguments": {"a": "<ü>"}}]}),
    ];
    let rendered = template(text).render_with(&messages, &ChatOptions::default()).unwrap();
    assert_eq!(rendered, "[user|x][assistant|nothing|f {\"a\": \"<ü>\"}]");

    let message = Message::assistant("{% raw %} \u{1f600}\r\n\"\\");
    let json = serde_json::to_string(&message).unwrap();
    assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    let rendered = template("{{ messages[0].content }}").render(std::slice::from_ref(&message)).unwrap();
    assert_eq!(rendered, message.content, "what is said is not read as a template");
}

#[test]
fn special_tokens_come_from_either_file() {
    let map = r#"{"bos_token": "<other>", "pad_token": {"content": "<p>"}}"#;
    let config = r#"{"bos_token": "<b>", "eos_token": null}"#;
    let text = "{{ bos_token }}{{ pad_token }}{{ eos_token is defined }}";
    let files = [("chat_template.jinja", text), ("tokenizer_config.json", config), ("special_tokens_map.json", map)];
    assert_eq!(load(&files).unwrap().unwrap().render(&[]).unwrap(), "<b><p>False");
    let error = load(&[("tokenizer_config.json", r#"{"bos_token": 1}"#)]).unwrap_err();
    assert!(matches!(error, ModelError::Config { field, .. } if field == "bos_token"));
}

#[test]
fn the_template_is_found_wherever_checkpoints_put_it() {
    let named = r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
    let (config, json) = (r#"{"chat_template": "c"}"#, r#"{"chat_template": "j"}"#);
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("tokenizer_config.json", config)], "c"),
        (&[("tokenizer_config.json", named)], "d"),
        (&[("tokenizer_config.json", config), ("chat_template.json", json)], "j"),
        (&[("tokenizer_config.json", config), ("chat_template.json", json), ("chat_template.jinja", "x")], "x"),
    ];
    for (files, expected) in cases {
        assert_eq!(load(files).unwrap().unwrap().render(&[]).unwrap(), expected);
    }
    assert!(load(&[]).unwrap().is_none());
    assert!(load(&[("tokenizer_config.json", "{}")]).unwrap().is_none());
    for broken in [r#"{"chat_template": [{"name": "tool_use", "template": "t"}]}"#, r#"{"chat_template": 1}"#] {
        let error = load(&[("tokenizer_config.json", broken)]).unwrap_err();
        assert!(matches!(error, ModelError::Config { field, .. } if field == "chat_template"));
    }
    assert!(matches!(load(&[("chat_template.jinja", "{% for %}")]), Err(ModelError::ChatTemplate { .. })));
    assert!(matches!(load(&[("chat_template.json", "{")]), Err(ModelError::Json { .. })));
}

#[test]
fn the_language_is_jinjas() {
    for (text, expected) in [
        (
            "{{ bos_token }}{% for m in messages %}\n{{ m.role }}: {{ m['content'].strip() }}{{ eos_token }}\n{% endfor %}\n{% if add_generation_prompt %}go{% endif %}\n",
            "<b>user: hi<e>\ngo",
        ),
        // Block tags take their line with them; one line break at the end of the file goes.
        ("a\n    {% if true %}\nb\n    {% endif %}\nc\n\n", "a\nb\nc\n"),
        ("a\r\n{% if true %}\r\nb\r\n{% endif %}\r\n", "a\nb\n"),
        (
            "{% set ns = namespace(n=0) %}{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{% if i == 1 %}{% continue %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "2",
        ),
        (
            "{% macro greet(name, mark='!') %}hi {{ name }}{{ mark }}{% endmacro %}{{ greet('a') }}{{ greet('b', mark='?') }}",
            "hi a!hi b?",
        ),
        (
            "{{ 'a,b'.split(',')[-1] }}{{ ' x '.strip() }}{{ 'xay'.lstrip('x').rstrip('y') }}{{ 'aXb'.upper().title() }}",
            "bxaAxb",
        ),
        (
            "{{ 'abc'.startswith('ab') }}{{ {'k': 1}.items() | list }}{{ {'k': 1}.get('x') }}{{ none }}{{ missing }}",
            "True[('k', 1)]None None",
        ),
        (
            "{{ messages[::-1] | length }}{{ [1, 2, 3][1:] }}{{ 'b' in 'abc' }}{{ [1] + [2] }}{{ 'a' ~ 1 }}",
            "1[2, 3]True[1, 2]a1",
        ),
        ("{{ loop is defined }}{% for x in [1, 2] %}{{ loop.index0 }}{{ loop.last }}{% endfor %}", "False0False1True"),
        ("{{ '{:>4}|{}'.format('a', 1) }}", "   a|1"),
        ("{{ ', '.join(['a', 'b']) }}{{ ['a', 'b'] | join('-') }}{{ 5 | string }}", "a, ba-b5"),
        ("{{ x | default('d') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "d1"),
    ] {
        let expected = expected.replace("None None", "NoneNone");
        assert_eq!(render(text), expected, "{text}");
    }
    assert!(failure("{{ raise_exception('roles must alternate') }}").contains("roles must alternate"));
    assert!(failure("{{ missing.field }}").contains("undefined"));
    for open in ["{{ 'é😀'", "{% if 'é😀'", "{# é😀", "{{", "{%"] {
        assert!(matches!(load(&[("chat_template.jinja", open)]), Err(ModelError::ChatTemplate { .. })), "{open}");
    }
}

/// What holds itself has no end; printing it, or comparing it, would end the process.
#[test]
fn a_namespace_cannot_hold_itself() {
    let with = |tags: &str| format!("{{% set ns = namespace(x=1) %}}{{% set y = [ns] %}}{tags}{{{{ ns.x }}}}");
    for tags in [
        "{% set ns.x = ns %}",
        "{%- set ns.x=ns -%}",
        "{% set ns.x = [1, {'k': (ns, 2)}] %}",
        "{% set ns.x = y * 3 %}",
        "{% set z, ns.x = 1, ns %}",
        "{% set (z, ns.x) = (1, ns) %}",
        "{% set ns.x = 1 if missing else y %}",
        "{% set ns.x | default(ns, true) %}{% endset %}",
        "{% for a in [1, 2, ns] %}{% set ns.x = loop %}{% endfor %}",
        "{% set ns.x = {ns: 1}.items() %}",
    ] {
        assert!(failure(&with(tags)).contains("a namespace cannot be put into a namespace"), "{tags}");
    }
    for tags in ["{% set ns.x = 1) if false else (ns %}", "{% set ns.x = %}", "{% set ns.x | %}{% endset %}"] {
        assert!(load(&[("chat_template.jinja", &with(tags))]).is_err(), "{tags}");
    }
    for (tags, expected) in [
        ("{% set ns.x = [ns.x, 'a' ~ 2] + [3] %}", "[1, 'a2', 3]"),
        ("{% set ns.x = 1, 2 %}", "(1, 2)"),
        ("{%- set ns.x = -1 -%}", "-1"),
        ("{% set ns.x = '=|' if ns.x == 1 else '' %}", "=|"),
        ("{% set ns.x | upper %}a=b{% endset %}", "A=B"),
        ("{% set ns.x %}a{% endset %}", "a"),
        // Views of a namespace, which would show themselves.
        ("{% set ns.x = ns.values() %}", "[1]"),
        ("{% set ns.x = ns.items() %}", "[('x', 1)]"),
        ("{% set ns.x = [ns.items()] + [ns.keys()] * 2 %}", "[[('x', 1)], ['x'], ['x']]"),
        ("{% set ns.x = ns | items %}", "[('x', 1)]"),
        ("{% set ns.x = (ns.values() | list)[0:] %}", "[1]"),
        ("{% set ns.x = ns.values()[0:] %}", "[1]"),
        ("{% set ns.x = {'b': ns.values(), 'a': messages[0:] | length} %}", "{'b': [1], 'a': 1}"),
        ("{% set ns.x = ns | chain({'y': 2}) %}", "{'x': 1, 'y': 2}"),
        ("{% set ns.x = ns.values() | chain([2]) %}", "[1, 2]"),
        ("{% for a in [1, 2] %}{% set ns.x = ns.x + a %}{% endfor %}", "4"),
    ] {
        assert_eq!(render(&with(tags)), expected, "{tags}");
    }
}

#[test]
fn json_is_pythons() {
    for (text, expected) in [
        ("{{ {'a': [1, 2.0, none, true], 'b': {}} | tojson }}", r#"{"a": [1, 2.0, null, true], "b": {}}"#),
        ("{{ '<ü & \\'>' | tojson }}", r#""<ü & '>""#),
        ("{{ '<ü>' | tojson(ensure_ascii=true) }}", r#""<\u00fc>""#),
        ("{{ {'a': [1], 'b': []} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ],\n  \"b\": []\n}"),
        ("{{ [1, 2] | tojson(indent=none) }}", "[1, 2]"),
        ("{{ {'z': 1, 'y': {'b': 0, 'a': 0}} | tojson(sort_keys=true) }}", r#"{"y": {"a": 0, "b": 0}, "z": 1}"#),
        ("{{ {'k': [1, 2]} | tojson(separators=(';', '=')) }}", r#"{"k"=[1;2]}"#),
        ("{{ [1] | tojson(true, 1, none, false) }}", "[\n 1\n]"),
    ] {
        assert_eq!(render(text), expected, "{text}");
    }
    // What is not obeyed is refused.
    failure("{{ 1 | tojson(default=str) }}");
    failure("{{ 1 | tojson(separators=1) }}");
    failure("{{ [1] | tojson(separators=(',',)) }}");
    failure("{{ missing | tojson }}");
}

#[test]
fn generation_blocks_render_their_content_in_a_scope() {
    let text = "{% set x = 1 %}\n{% for m in messages %}\n{%- generation -%}\n  {% set x = 2 %}{{ m.content }}{{ x }}\n{%- endgeneration %}{% endfor %}|{{ x }}";
    assert_eq!(render(text), "hi2|1");
}

#[test]
fn the_clock_is_the_callers() {
    let chat = template("{{ strftime_now('%d %b %Y, %H:%M') }}");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_721_995_200);
    let options = ChatOptions { now: Some(now), ..ChatOptions::default() };
    assert_eq!(chat.render_with::<Message>(&[], &options).unwrap(), "26 Jul 2024, 12:00");
    let year: i32 = template("{{ strftime_now('%Y') }}").render(&[]).unwrap().parse().unwrap();
    assert!(year >= 2024);
    for format in ["%Q%", "%", "%!", "%999999999d"] {
        failure(&format!("{{{{ strftime_now('{format}') }}}}"));
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn llama3_shows_the_day_of_the_callers_clock() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_721_995_200);
    let options = ChatOptions { now: Some(now), ..ChatOptions::default() };
    let text = real("llama3.2-instruct").render_with(&[Message::user("x")], &options).unwrap();
    assert!(text.contains("Today Date: 26 Jul 2024\n"));
}

#[test]
fn prompts_say_whether_they_end_amid_reasoning() {
    let text = "{% if add_generation_prompt %}<a><think>\n{% endif %}";
    let chat = template(text);
    assert!(opens_reasoning(&chat.render(&[]).unwrap()));
    let options = ChatOptions { add_generation_prompt: false, ..ChatOptions::default() };
    assert!(!opens_reasoning(&chat.render_with::<Message>(&[], &options).unwrap()));
    assert!(!opens_reasoning("what does <think> mean?<assistant>"));
}

#[test]
fn hostile_templates_end_soon_and_stay_small() {
    let grow = |step: &str, times: usize| {
        format!("{{% set ns = namespace(x=['ab'], s='ab') %}}{{% for i in range({times}) %}}{step}{{% endfor %}}")
    };
    let nested = grow("{% set ns.x = [ns.x] %}", 99_999);
    let shared = grow("{% set ns.x = [ns.x, ns.x] %}", 60);
    let endless: Vec<String> = [
        // Steps.
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        // Depth of calls.
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include 'chat' %}",
        "{% extends 'chat' %}",
        "{% block a %}{{ self.a() }}{% endblock %}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        // Size of text.
        "{{ 'x' * 10**9 }}",
        "{{ ('x' * 10**6).join(range(99999)) }}",
        "{{ range(99999) | join('x' * 10**6) }}",
        "{{ ([('x' * 10**6)] * 10**8) | join }}",
        "{{ ''.join([('x' * 10**6)] * 10**8) }}",
        "{{ ('x' * 10**5).replace('x', 'y' * 10**5) }}",
        "{{ ('x' * 10**5) | replace('x', 'y' * 10**5) }}",
        "{{ '{:1000000000}'.format('x') }}",
        "{{ ('{0}' * 10**5).format('x' * 10**5) }}",
        "{{ '%1000000000s' | format('x') }}",
        "{{ [[1]] | tojson(indent=1000000000) }}",
        "{{ ('\n' * 10**5) | indent(10**9) }}",
        "{{ ('a' * 10**6).strip('b' * 10**6 ~ 'a') }}",
        "{{ ([1] * 10**8) | list }}",
        "{{ [1] * 10**8 }}",
        "{{ 10 ** 1000000 }}",
        "{{ 'x'.center(10**9) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'x'.zfill(10**9) }}",
        "{{ 'x'.ljust(10**9, 'ü') }}",
        "{{ ('\t' * 10**5).expandtabs(10**9) }}",
        "{{ '%1000000000s' % 'x' }}",
        "{{ '%1000000000d' % (1,) }}",
        "{{ ('%s' * 10**5) % (['x' * 10**5] * 10**5) }}",
        "{{ ('\n' * 10**5) | indent('x' * 10**5) }}",
        "{{ [[1] * 1000] * 1000 | tojson(indent=10**6) }}",
        "{{ ('&' * 10**7) | e }}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        grow("{% set ns.s = ns.s ~ ns.s %}", 60),
        grow("{% set ns.s = ns.s + ns.s %}", 60),
        grow("{% set y %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = y %}", 60),
        grow("{% set ns.s = ns.s.replace('a', 'aa') %}", 60),
        grow("{{ 'x' * 10**6 }}", 99_999),
        grow("{% set ns.x = ns.x + ['x' * 10**6] %}", 99_999),
        // Depth of values: freed, printed, compared.
        nested.clone(),
        shared.clone() + "{{ ns.x }}",
        shared.clone() + "{{ ns.x | tojson }}",
        shared.clone() + "{{ ns.x | string }}",
        shared.clone() + "{{ ns.x | join }}",
        shared.clone() + "{{ ''.join(ns.x) }}",
        shared.clone() + "{{ '%s' % ns.x }}",
        shared.clone() + "{{ ns.x | tojson(sort_keys=true) }}",
        shared + "{{ '{}'.format(ns.x) }}",
    ])
    .collect();
    for text in &endless {
        let started = Instant::now();
        failure(text);
        let seconds = started.elapsed().as_secs_f64();
        assert!(seconds < 5.0, "{seconds} s: {text}");
        assert!(peak().is_none_or(|mib| mib < 400), "{:?} MiB: {text}", peak());
    }
    // Values as deep as fuel allows do no harm.
    for end in ["", "{{ ns.x }}", "{{ ns.x == [ns.x] }}", "{{ ns.x | tojson }}", "{{ {ns.x: 1} | length }}"] {
        let started = Instant::now();
        let chat = template(&(grow("{% set ns.x = [ns.x] %}", 700) + end));
        assert!(chat.render(&[]).is_ok(), "{end}");
        assert!(started.elapsed().as_secs_f64() < 5.0, "{end}");
    }
}

#[test]
fn long_conversations_are_no_attack() {
    renders_long_conversations(&template(
        "{% for m in messages %}{{ m.role ~ m.content | trim ~ eos_token }}{% endfor %}",
    ));
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn long_conversations_are_no_attack_on_templates_of_real_checkpoints() {
    for name in ["qwen2.5-instruct", "qwen3", "llama3.2-instruct", "deepseek-r1-distill-qwen-1.5b"] {
        renders_long_conversations(&real(name));
    }
}

fn renders_long_conversations(template: &ChatTemplate) {
    for said in ["x", &"word ".repeat(10_000)] {
        let turn = [Message::user(said), Message::assistant(format!("<think>{said}</think>{said}"))];
        let messages: Vec<Message> =
            turn.iter().cycle().take(if said.len() > 1 { 101 } else { 2001 }).cloned().collect();
        assert!(template.render(&messages).unwrap().len() > messages.len() * said.len() / 2);
    }
}
