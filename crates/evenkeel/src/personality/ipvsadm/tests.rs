//! Command lines and what becomes of them; the answers are those of Debian's ipvsadm 1.31.

use super::*;

fn read(line: &str) -> Result<Command, Failure> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse(&words).map(|line| line.command)
}

fn wrong(text: &str) -> Failure {
    Failure::Wrong(text.to_owned())
}

fn word(text: &str) -> Failure {
    Failure::Word(text.to_owned())
}

#[test]
fn mistakes_are_answered_as_ipvsadm_answers_them() {
    for (line, failure) in [
        ("-t 10.0.0.1:80", Failure::Usage),
        ("-p 3 -A -t 10.0.0.77:81", Failure::Usage),
        ("--nonsense", Failure::Usage),
        ("--start-daemon", Failure::Usage),
        ("10.0.0.1", Failure::Usage),
        ("# comment", Failure::Usage),
        ("-A -t", word("-t: missing argument")),
        ("-A -t 10.0.0.77:80 -p -5", word("-5: unknown option")),
        ("-A --tcp-service=10.0.0.7:80 --sched rr", word("--sched: unknown option")),
        ("-A -D -t 10.0.0.1:80", wrong("invalid option `-D'")),
        ("-Z -Ln", wrong("invalid option `-Ln'")),
        ("-A", wrong("You need to supply the 'service-address' option for the 'add-service' command")),
        ("-a -t 10.0.0.1:80", wrong("You need to supply the 'real-server' option for the 'add-server' command")),
        ("-A -t 10.0.0.1:80 -r 10.0.0.2", wrong("Illegal 'real-server' option with the 'add-service' command")),
        ("-C -n", wrong("Illegal 'numeric' option with the 'flush' command")),
        ("-L extra", wrong("unexpected argument extra")),
        ("-L -- -n", wrong("unexpected argument -n")),
        ("--set 1 2", wrong("--set option requires 3 timeout values")),
        ("--set 1 2 3 4", wrong("unexpected argument 4")),
        ("--set a b c", wrong("invalid timeout value `a' specified")),
        ("-Lnn", wrong("multiple 'numeric' options specified")),
        ("-A -t 10.0.0.1:80 -u 10.0.0.2:80", wrong("multiple 'service-address' options specified")),
        (
            "-Ln -t 10.0.0.1:80 -c",
            wrong("The option 'service-address' conflicts with the 'connection' option in the 'list' command"),
        ),
        ("-L -c --stats", wrong("options conflicts in the list command")),
        ("-A -t 10.0.0.6", wrong("Zero port specified for non-persistent service")),
        ("-A -t 10.0.0.6:53 -o", wrong("One-Packet Scheduling is only for UDP virtual services")),
        ("-A -f 0", wrong("invalid fwmark value `0' specified")),
        ("-A -6 -f 9", wrong("-6 used before -f\n")),
        ("-A -t 10.0.0.1:80 -b sh-port", wrong("incompatible scheduler flag `sh-port'")),
        ("-A -t 10.0.0.1:80 -b other", wrong("invalid scheduler flag `other'")),
        ("-a -t 10.0.0.1:80 -r 10.1.0.1 -w -1", wrong("illegal weight specified")),
        (
            "-a -t 10.0.0.1:80 -r [fd00::98]:80 -m",
            wrong("Different address family is allowed only for tunneling servers"),
        ),
        ("-a -t 10.0.0.1:80 -r 10.1.0.1 -m --tun-type gre", wrong("Tunnel options conflict with forward method")),
        (
            "-a -t 10.0.0.1:80 -r 10.1.0.1 -i --tun-type gue",
            wrong("You need to supply the 'tun-port' option for the 'gue' tunnel type"),
        ),
        ("-a -t 10.0.0.1:80 -r 10.1.0.1 -i --tun-csum", wrong("Illegal 'tun-csum' option with the 'ipip' tunnel type")),
        (
            "-a -t 10.0.0.1:80 -r 10.1.0.1 -i --tun-csum --tun-nocsum --tun-type gre",
            wrong("The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gre' tunnel type"),
        ),
        ("--start-daemon nothing", wrong("illegal start-daemon parameter specified")),
        ("--start-daemon master --mcast-group nothing", wrong("invalid IPv4 mcast-group `nothing'")),
        ("--start-daemon master --syncid 256", wrong("illegal syncid specified")),
    ] {
        assert_eq!(read(line), Err(failure), "{line}");
    }
}

#[test]
fn a_persistence_without_seconds_has_360() {
    for (line, seconds) in [
        ("-A -t 10.0.0.1:80 -p -s rr", 360),
        ("-A -t 10.0.0.1:80 -p", 360),
        ("-A -t 10.0.0.1:80 -p 77 -s rr", 77),
        ("-A -t 10.0.0.1:80 -p77", 77),
        ("-A -t 10.0.0.1:80 --persistent=77", 77),
    ] {
        let Ok(Command::AddService(record)) = read(line) else {
            panic!("{line}");
        };
        assert_eq!(record.persistence.map(|persistence| persistence.timeout), Some(seconds), "{line}");
    }
}

#[test]
fn only_nat_has_a_port_of_its_own() {
    for (line, port) in [
        ("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m", 8080),
        ("-a -t 10.0.0.1:80 -r 10.1.0.1 -m", 80),
        ("-a -t 10.0.0.1:80 -r 10.1.0.1:8080", 80),
        ("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -i", 80),
        ("-a -f 7 -r 10.1.0.1:8080 -g", 8080),
        ("-a -f 7 -r 10.1.0.1", 0),
    ] {
        let Ok(Command::AddServer(_, server, _)) = read(line) else {
            panic!("{line}");
        };
        assert_eq!(server.port, port, "{line}");
    }
}

#[test]
fn no_words_are_a_list() {
    assert_eq!(read(""), read("-L"));
    assert_eq!(read("-lnc"), read("--list --numeric --connection"));
}
