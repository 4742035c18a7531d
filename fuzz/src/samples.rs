//! Bytes to start from.

/// Version 2 with a password, version 3, and priority 0.
pub const ADVERTS: &[&[u8]] = &[
    &[
        0x45, 0xc0, 0, 40, 0, 1, 0, 0, 255, 112, 0xce, 0x6d, 10, 0, 0, 11, 224, 0, 0, 18, 0x21, 51, 120, 1, 1, 1, 0, 0,
        10, 0, 0, 100, b'1', b'1', b'1', b'1', 0, 0, 0, 0,
    ],
    &[
        0x45, 0xc0, 0, 32, 0, 2, 0, 0, 255, 112, 0, 0, 10, 0, 0, 11, 224, 0, 0, 18, 0x31, 52, 100, 1, 0, 100, 0, 0, 10,
        0, 0, 100,
    ],
    &[
        0x45, 0xc0, 0, 40, 0, 3, 0, 0, 255, 112, 0, 0, 10, 0, 0, 11, 224, 0, 0, 18, 0x21, 51, 0, 1, 0, 1, 0, 0, 10, 0,
        0, 100, 0, 0, 0, 0, 0, 0, 0, 0,
    ],
];

/// keepalived in Down and in Up with Final, BIRD in Up with Poll.
pub const BFD_PACKETS: &[&[u8]] = &[
    &[0x20, 0x40, 4, 24, 0x70, 0x9b, 0x80, 0x1c, 0, 0, 0, 0, 0, 15, 0x42, 0x40, 0, 1, 0x86, 0xa0, 0, 0, 0, 0],
    &[
        0x20, 0xd0, 4, 24, 0x70, 0x9b, 0x80, 0x1c, 0x1b, 0xcd, 0x51, 0xeb, 0, 2, 0x49, 0xf0, 0, 1, 0x86, 0xa0, 0, 0, 0,
        0,
    ],
    &[
        0x20, 0xe0, 3, 24, 0x1b, 0xcd, 0x51, 0xeb, 0x70, 0x9b, 0x80, 0x1c, 0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0, 0, 0, 0,
        0,
    ],
];

/// The shapes that a file takes: blocks, definitions, conditions, sequences, quotes.
pub const KEEPALIVED: &[&[u8]] = &[
    b"! a comment\nglobal_defs {\n  router_id lb01 # who\n}\nvrrp_script chk {\n  script \"/usr/bin/pgrep nginx\"\n  interval 2\n  weight -20\n}\nvrrp_instance VI_1 {\n  state MASTER\n  interface eth0\n  virtual_router_id 51\n  priority 150\n  advert_int 1\n  authentication {\n    auth_type PASS\n    auth_pass 42\n  }\n  virtual_ipaddress {\n    10.0.0.100/24 dev eth0 label eth0:1\n  }\n  track_script {\n    chk\n  }\n}\n",
    b"$VIP=10.0.0.100\n@lb01 $PRIO=150\n@^lb01 $PRIO=100\ninclude other.conf\nvrrp_instance VI_1\n{\n  priority $PRIO\n  virtual_ipaddress { $VIP }\n  ~SEQ(I, 1, 3) notify_master \"echo $I\"\n}\n",
    b"vrrp_instance VI_1 {\n  virtual_router_id 121# odd\n  state BACKUP#odd\n  priority \\\n 90\n}\nvirtual_server 10.0.0.100 80 {\n  lb_algo rr\n  real_server 10.0.0.51 80 { weight 1 TCP_CHECK { connect_timeout 3 } }\n}\n",
];

/// Blocks, variables, quotes, regular expressions.
pub const NGINX: &[&[u8]] = &[
    b"events { worker_connections 1024; }\nhttp {\n  upstream web { server 10.0.0.51:80 weight=2 max_fails=1 fail_timeout=5s; server 10.0.0.52 backup; keepalive 8; }\n  log_format main '$remote_addr \"$request\" $status';\n  server {\n    listen 80 default_server;\n    server_name example.com *.example.com _;\n    location / { proxy_pass http://web; proxy_set_header Host $host; }\n    location ~* \\.(png|jpg)$ { root /srv; }\n    location = /health { return 200 \"ok\\n\"; }\n  }\n}\n",
    b"include conf.d/*.conf;\nhttp{server{listen [::]:8080;location ^~ /a/{proxy_pass http://10.0.0.1:81/b/;}}}",
];

/// Two frames, and one with descriptors.
pub const FRAMES: &[&[u8]] =
    &[b"\x02\0\0\0\0{}\x06\0\0\0\0\"Stop\"", b"\0\0\0\0\x02\x04\0\0\0\0null", b"\xff\xff\xff\xff\x01"];

/// Requests, answers and a chunked body.
pub const HTTP: &[&[u8]] = &[
    b"GET /a%20b?c=d HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n",
    b"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    b"HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"5;name=value\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
];

/// Of checked servers: HTTP, SMTP, DNS, and an agent.
pub const ANSWERS: &[&[u8]] = &[
    b"HTTP/1.0 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\r\nhello\r\n0\r\n\r\n",
    b"220-mail.test\r\n220 ready\r\n",
    b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04test\x00\x00\x01\x00\x01",
    b"ready up 75% # all is well\n",
];

/// What a node says of itself, each field once and one of a later version; and the head of a hello.
pub const PEER: &[&[u8]] = &[
    b"\x00\x01\x00\x00\x00\x04lb01\x00\x02\x00\x00\x00\x050.1.0\x00\x03\x00\x00\x00\x19\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0fthe proxy\x00\x04\x00\x00\x00G\x00\x01\x00\x00\x00\x04VI_1\x00\x02\x00\x00\x00\x033\x00\x03\x00\x03\x00\x00\x00\x04\x00\x00\x03\xe8\x00\x04\x00\x00\x00\x02\x03d\x00\x05\x00\x00\x00\x05\x18\x0a\x00\x00d\x00\x05\x00\x00\x00\x11@\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x05\x00\x00\x00\x03\x01ok\x00\x06\x00\x00\x00\x0a\x01\x00\x00\x00\x01\x00\x00\x00\x02P\x00\x07\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x08\x00\x00\x00/\x00\x01\x00\x00\x00\x01P\x00\x02\x00\x00\x00\x01s\x00\x03\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x04\x00\x00\x00\x05\x03\x00\x00\x00\x05\x00\x09\x00\x00\x00\x00\x00c\x00\x00\x00\x05later",
    b"EKPN\x01\0\0\x60AAAAAAAAAAAAAAAA\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02BBBBBBBBBBBBBBBB\0\0\0\0\0\0\0\x03",
];
