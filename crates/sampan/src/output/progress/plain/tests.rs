//! The expected texts are those that docker buildx 0.29 printed for builds of this kind.

use builder::Stream;

use super::*;

fn check(events: &[(usize, u64, What<'_>)], expected: &str) {
    let mut text = Vec::new();
    let mut plain = Plain::new(&mut text);
    for (step, ms, what) in events {
        let event = Event { step: *step, at: Duration::from_millis(*ms), what: *what };
        plain.show(&event).unwrap();
    }
    plain.finish().unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

fn started(name: &str) -> What<'_> {
    What::Started { name }
}

fn wrote(text: &str) -> What<'_> {
    What::Output { stream: Stream::Out, bytes: text.as_bytes() }
}

#[test]
fn steps_one_after_another_are_separated_by_a_blank_line() {
    check(
        &[
            (5, 0, started("[2/4] WORKDIR /app")),
            (5, 0, What::Cached),
            (6, 0, started("[3/4] RUN printf x")),
            (6, 0, What::Remark("not cached: src/app.py changed")),
            (6, 214, wrote("text of out")),
            (6, 220, wrote("put\nmore\n\nunfinished")),
            (6, 300, What::Done),
            (7, 300, started("exporting to image")),
            (7, 400, What::Part("exporting layers")),
            (7, 410, What::Part("naming to docker.io/library/foo:1")),
            (7, 420, What::Done),
        ],
        "#5 [2/4] WORKDIR /app\n#5 CACHED\n\n\
         #6 [3/4] RUN printf x\n#6 not cached: src/app.py changed\n\
         #6 0.214 text of output\n#6 0.220 more\n#6 0.220 \n#6 0.220 unfinished\n#6 DONE 0.3s\n\n\
         #7 exporting to image\n#7 exporting layers done\n#7 naming to docker.io/library/foo:1 done\n#7 DONE 0.1s\n",
    );
}

#[test]
fn what_a_failed_step_wrote_last_is_told_again() {
    let lines: String = (0..30).map(|line| format!("line {line}\n")).collect();
    let told: Vec<String> = (0..30).map(|line| format!("0.329 line {line}")).collect();
    let all: String = told.iter().map(|line| format!("#5 {line}\n")).collect();
    check(
        &[
            (5, 0, started("[stage-1 2/4] RUN x")),
            (6, 0, started("[a 2/2] RUN sleep 5; echo never")),
            (5, 329, wrote(&lines)),
            (5, 400, What::Failed { message: "process \"x\" did not complete successfully: exit code: 4" }),
            (6, 500, What::Canceled),
        ],
        &format!(
            "#5 [stage-1 2/4] RUN x\n{all}#5 ERROR: process \"x\" did not complete successfully: exit code: 4\n\n\
             #6 [a 2/2] RUN sleep 5; echo never\n#6 CANCELED\n\
             ------\n > [stage-1 2/4] RUN x:\n{}\n------\n",
            told[20..].join("\n")
        ),
    );
}

#[test]
fn who_speaks_goes_on_while_others_wait() {
    check(
        &[
            (5, 0, started("[a 2/2] RUN a")),
            (6, 0, started("[b 2/2] RUN b")),
            (5, 286, wrote("a1\n")),
            (6, 302, wrote("b1\n")),
            (5, 786, wrote("a2\n")),
            (6, 703, wrote("b2\n")),
            (5, 3300, What::Done),
            (6, 3313, wrote("b8\n")),
            (6, 3600, What::Done),
        ],
        "#5 [a 2/2] RUN a\n#5 0.286 a1\n#5 0.786 a2\n#5 DONE 3.3s\n\n\
         #6 [b 2/2] RUN b\n#6 0.302 b1\n#6 0.703 b2\n#6 3.313 b8\n#6 DONE 3.6s\n",
    );
}

#[test]
fn a_step_that_ends_interrupts_the_one_that_speaks() {
    check(
        &[
            (1, 0, started("a")),
            (2, 0, started("b")),
            (2, 100, wrote("of b\n")),
            (1, 100, wrote("of a\n")),
            (2, 200, What::Done),
            (1, 300, wrote("again a\n")),
            (1, 300, What::Done),
        ],
        "#1 a\n#1 0.100 of a\n#1 ...\n\n#2 b\n#2 0.100 of b\n#2 DONE 0.2s\n\n\
         #1 a\n#1 0.300 again a\n#1 DONE 0.3s\n",
    );
}

#[test]
fn a_silent_speaker_gives_way_to_those_who_have_something_to_say() {
    check(
        &[
            (1, 0, started("silent")),
            (2, 0, started("talks")),
            (2, 1000, wrote("1\n")),
            (2, 2000, wrote("2\n")),
            (2, 3000, wrote("3\n")),
            (2, 6500, wrote("4\n")),
            (2, 7000, wrote("5\n")),
            (1, 8000, What::Done),
        ],
        "#1 silent\n#1 ...\n\n#2 talks\n#2 1.000 1\n#2 2.000 2\n#2 3.000 3\n#2 6.500 4\n#2 7.000 5\n#2 ...\n\n\
         #1 silent\n#1 DONE 8.0s\n",
    );
}

#[test]
fn nobody_waits_for_more_than_ten_seconds() {
    let mut events = vec![(1, 0, started("talks")), (2, 0, started("waits"))];
    let talk: Vec<_> = (0..110).map(|tick| (1, tick * 100, wrote("x\n"))).collect();
    events.push((2, 0, wrote("at last\n")));
    events.extend(talk);
    let mut text = Vec::new();
    let mut plain = Plain::new(&mut text);
    for (step, ms, what) in events {
        plain.show(&Event { step, at: Duration::from_millis(ms), what }).unwrap();
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("#1 10.10 x\n#1 ...\n\n#2 waits\n#2 0.000 at last\n"), "{text}");
}

#[test]
fn what_waits_when_the_build_ends_is_told() {
    check(
        &[(1, 0, started("a")), (2, 0, started("b")), (2, 100, wrote("waits\n"))],
        "#1 a\n#1 ...\n\n#2 b\n#2 0.100 waits\n",
    );
}
