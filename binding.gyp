{
  # Only the gate sets it (scripts/setup.mjs). A newer compiler has new warnings, which must not break the build of a user.
  "variables": { "warnings_are_errors%": 0 },
  "targets": [
    {
      "target_name": "berkeley",
      # The package has the sources of native/ as two files without comments.
      "sources": ["<!@(node -p \"const d = require('fs').existsSync('native') ? 'native/' : 'dist/native/'; require('fs').readdirSync(d).filter((f) => f.endsWith('.c')).map((f) => d + f).join(' ')\")"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE", "BERKELEY_VERSION=\"<!(node -p \"require('./package.json').version\")\""],
      "cflags": ["-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
      "conditions": [["warnings_are_errors==1", { "cflags": ["-Werror"] }]],
      # Before version 2.34 glibc has threads, timers and dlopen(3) in libraries of their own; since then these are empty.
      "libraries": ["-lpthread", "-ldl", "-lrt"],
      "ldflags": ["-Wl,-z,relro,-z,now"]
    }
  ]
}
