package bpf

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -no-global-types steer steer.bpf.c -- -I. -O2 -g -Wall -Wextra -Werror -mcpu=v3
//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -no-global-types reuseport reuseport.bpf.c -- -I. -O2 -g -Wall -Wextra -Werror -mcpu=v3
