package durable

import (
	"io"
	"io/fs"
	"os"
)

// An FS is a file system as those see it who keep data in it: OS, or in tests one
// that fails, and forgets what was not synced (durabletest). Errors are those of
// package os.
type FS interface {
	CreateTemp(dir, pattern string) (File, error)
	Open(name string) (File, error) // to read it, or to sync a directory
	Mkdir(name string, perm fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error) // in order of their names
}

// A File is an open file or directory of an FS.
type File interface {
	fs.File
	io.ReaderAt
	io.Writer
	Name() string
	Chmod(fs.FileMode) error
	Sync() error
}

// OS is the file system of the machine.
var OS FS = system{}

type system struct{}

func (system) CreateTemp(dir, pattern string) (File, error) { return file(os.CreateTemp(dir, pattern)) }
func (system) Open(name string) (File, error)               { return file(os.Open(name)) }
func (system) Mkdir(name string, perm fs.FileMode) error    { return os.Mkdir(name, perm) }
func (system) Rename(from, to string) error                 { return os.Rename(from, to) }
func (system) Remove(name string) error                     { return os.Remove(name) }
func (system) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }
func (system) ReadDir(name string) ([]fs.DirEntry, error)   { return os.ReadDir(name) }

// file keeps a nil *os.File from becoming a File that is not nil.
func file(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// On is what this package does, on a file system of the caller's choice.
type On struct{ FS }
