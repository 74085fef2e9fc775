// A TCP echo server: a goroutine and a buffer for each connection.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime/debug"
)

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 1024)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) > 1 && os.Args[1] == "collect" {
		go func() {
			lines := bufio.NewScanner(os.Stdin)
			for lines.Scan() {
				debug.FreeOSMemory()
				fmt.Println("{\"collected\":true}")
			}
		}()
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go echo(connection)
	}
}
