use builder::Stream;

use super::*;

const SCREEN: Screen = Screen { columns: 40, rows: 24 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn started(name: &str) -> What<'_> {
    What::Started { name }
}

fn wrote(text: &str) -> What<'_> {
    What::Output { stream: Stream::Out, bytes: text.as_bytes() }
}

fn terminal(screen: Screen, events: &[(usize, u64, What<'_>)]) -> Terminal<Vec<u8>> {
    let mut terminal = Terminal::new(Vec::new(), screen, Palette::none());
    for (step, at, what) in events {
        terminal.show(&Event { step: *step, at: ms(*at), what: *what }).unwrap();
    }
    terminal
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

fn check(events: &[(usize, u64, What<'_>)], now: u64, expected: &str) {
    assert_eq!(text(&terminal(SCREEN, events).lines(ms(now))), expected);
}

#[test]
fn running_steps_show_their_output_and_time() {
    check(
        &[
            (1, 0, started("[2/3] WORKDIR /app")),
            (1, 0, What::Cached),
            (2, 100, started("[3/3] RUN a-command-that-is-far-too-long")),
            (2, 200, wrote(" 10%\r 99%\rCollecting\x1b[2K flask\r\nnot yet a line")),
        ],
        1300,
        "[+] Building 1.3s (1/2)\n \
         => CACHED [2/3] WORKDIR /app      0.0s\n \
         => [3/3] RUN a-command-that-is-…  1.2s\n \
         => => #            flask\n \
         => => # not yet a line",
    );
}

#[test]
fn what_is_known_of_a_step_stays_and_its_output_goes() {
    check(
        &[
            (1, 0, started("[2/2] RUN x")),
            (1, 0, What::Remark("not cached: it was never built")),
            (1, 0, wrote("gone\n")),
            (1, 1000, What::Done),
            (2, 1000, started("exporting to image")),
            (2, 1200, What::Part("exporting layers")),
            (2, 1300, What::Part("naming to foo")),
            (3, 1300, started("[a 2/2] RUN y")),
            (3, 1300, wrote("gone as well\n")),
            (3, 1400, What::Failed { message: "exit code: 1" }),
            (4, 1300, started("[b 2/2] RUN z")),
            (4, 1500, What::Canceled),
        ],
        2000,
        "[+] Building 2.0s (3/4)\n \
         => [2/2] RUN x                    1.0s\n \
         => => not cached: it was never built\n \
         => exporting to image             1.0s\n \
         => => exporting layers            0.2s\n \
         => => naming to foo               0.1s\n \
         => ERROR [a 2/2] RUN y            0.1s\n \
         => CANCELED [b 2/2] RUN z         0.2s",
    );
}

#[test]
fn lines_have_the_colour_of_their_end() {
    let palette = Palette::chosen(None, None);
    let mut terminal = Terminal::new(Vec::new(), SCREEN, palette);
    for (step, what) in [(1, started("a")), (1, What::Done), (2, started("b")), (2, wrote("text\n"))] {
        terminal.show(&Event { step, at: ms(0), what }).unwrap();
    }
    let lines: Vec<String> = terminal.lines(ms(0)).iter().map(Line::styled).collect();
    assert!(lines[1].starts_with("\x1b[34m => a") && lines[1].ends_with("0.0s\x1b[0m"), "{lines:?}");
    assert!(lines[2].starts_with(" => b"), "{lines:?}");
    assert_eq!(lines[3], "\x1b[2m => => # text\x1b[0m");
}

#[test]
fn a_redraw_goes_back_over_what_it_drew_and_not_too_often() {
    let terminal = terminal(
        SCREEN,
        &[(1, 0, started("x")), (2, 50, started("x")), (3, 100, started("x")), (3, 250, What::Done)],
    );
    let text = String::from_utf8(terminal.out).unwrap();
    let drawings: Vec<&str> = text.split("\x1b[?25l\x1b[?7l").skip(1).collect();
    assert_eq!(drawings.len(), 3, "{text:?}");
    assert!(drawings[0].starts_with("[+]"), "{text:?}");
    assert!(drawings[1].starts_with("\x1b[2A\r[+]"), "{text:?}");
    assert!(drawings[2].starts_with("\x1b[4A\r[+]"), "{text:?}");
}

#[test]
fn a_terminal_that_became_narrower_has_broken_what_was_drawn() {
    let mut terminal = terminal(SCREEN, &[(1, 0, started("x"))]);
    terminal.tick(ms(100), Some(Screen { columns: 30, rows: 24 })).unwrap();
    terminal.tick(ms(200), Some(Screen { columns: 50, rows: 24 })).unwrap();
    let text = String::from_utf8(terminal.out).unwrap();
    // The header, and a step's line of 39 columns that has become two of 30.
    assert!(text.contains("\x1b[3A\r") && text.contains("\x1b[2A\r"), "{text:?}");
}

#[test]
fn a_build_is_finished_when_no_step_is_to_come() {
    let mut terminal = terminal(SCREEN, &[(1, 0, started("x")), (1, 0, What::Done)]);
    assert_eq!(terminal.lines(ms(0))[0].text, "[+] Building 0.0s (1/1)");
    assert_eq!(terminal.all(ms(0))[0].text, "[+] Building 0.0s (1/1) FINISHED");
    terminal.expect(3);
    assert_eq!(terminal.lines(ms(0))[0].text, "[+] Building 0.0s (1/4)");
    assert_eq!(terminal.all(ms(0))[0].text, "[+] Building 0.0s (1/4)");
}

#[test]
fn a_list_longer_than_the_terminal_keeps_what_runs_and_the_newest() {
    let names: Vec<String> = (1..=100).map(|step| format!("step {step}")).collect();
    let mut events = Vec::new();
    for (step, name) in names.iter().enumerate() {
        events.push((step, 0, started(name)));
        if step != 3 {
            events.push((step, 0, What::Done));
        }
    }
    let mut terminal = terminal(Screen { columns: 40, rows: 6 }, &events);
    let shown = text(&terminal.lines(ms(0)));
    assert_eq!(shown.lines().count(), 5, "{shown}");
    assert!(shown.contains("step 4 ") && shown.contains("step 100 "), "{shown}");
    assert!(!shown.contains("step 96 "), "{shown}");
    // In the end all of it stays to be read.
    assert_eq!(terminal.all(ms(0)).len(), 101);
    terminal.finish(ms(0), None).unwrap();
}

#[test]
fn no_terminal_is_too_small() {
    for columns in 0..30 {
        for rows in 0..8 {
            let screen = Screen { columns, rows };
            let mut terminal = terminal(
                screen,
                &[(1, 0, started("[1/2] FROM x")), (1, 0, wrote("text\n")), (1, 1, What::Part("p"))],
            );
            terminal.tick(ms(200), None).unwrap();
            terminal.finish(ms(300), None).unwrap();
        }
    }
}

#[test]
fn what_a_failed_step_wrote_stands_below_the_list() {
    let mut terminal = terminal(
        SCREEN,
        &[
            (1, 0, started("[2/2] RUN x")),
            (1, 100, wrote("first\nlast")),
            (1, 200, What::Failed { message: "exit code: 1" }),
        ],
    );
    terminal.finish(ms(200), None).unwrap();
    let text = String::from_utf8(terminal.out).unwrap();
    assert!(text.ends_with("------\n > [2/2] RUN x:\n0.100 first\n0.100 last\n------\n"), "{text:?}");
}
