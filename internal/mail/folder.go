package mail

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// maxSetting bounds a file of settings, in bytes: as much as a whole Secret can hold.
	maxSetting = 1 << 20
	// maxSettings bounds how many names in a folder are looked at.
	maxSettings = 100
)

// readFolder reads the settings folder: a file for each setting, by the names of values.named. A file that is empty, but
// for a line end, counts as none. What begins with ".." is the kubelet's; any other name is an error, since a setting that
// is spelled wrong would else be ignored. Errors name the file and never what it holds.
//
// Kubernetes changes a mounted Secret by writing a new folder, turning the link ..data to it and removing the one before.
// So the folder behind the link is read, and when the link has turned meanwhile, read again: files may have been gone
// already, and to miss the password would be to use the one of the flags.
func readFolder(dir string) (map[string]string, error) {
	const tries = 100 // Kubernetes turns the link once a minute at most
	for range tries {
		from := snapshot(dir)
		files, err := readFiles(from)
		if snapshot(dir) == from {
			return files, err
		}
	}
	return nil, errors.New("changed each time while they were read")
}

// snapshot is the folder that never changes behind a mount of Kubernetes. Other folders are read as they are.
func snapshot(dir string) string {
	if data, err := filepath.EvalSymlinks(filepath.Join(dir, "..data")); err == nil {
		return data
	}
	return dir
}

func readFiles(dir string) (map[string]string, error) {
	names, err := list(dir)
	if err != nil {
		return nil, err
	}
	known := (&values{}).named()
	files := map[string]string{}
	var faults []error
	for _, name := range names {
		if strings.HasPrefix(name, "..") {
			continue
		}
		if _, ok := known[name]; !ok {
			faults = append(faults, fmt.Errorf("no setting is named %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
			continue
		}
		content, err := readLimited(filepath.Join(dir, name))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		} else if content != "" {
			files[name] = content
		}
	}
	return files, errors.Join(faults...)
}

func list(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, cause(err)
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(maxSettings + 1)
	if err != nil && !errors.Is(err, io.EOF) { // EOF: it is empty
		return nil, cause(err)
	}
	if len(names) > maxSettings {
		return nil, fmt.Errorf("more than %d files", maxSettings)
	}
	slices.Sort(names)
	return names, nil
}

// readLimited reads a file of settings, without one line end after its content.
func readLimited(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would keep us waiting for a writer
	if err != nil {
		return "", cause(err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.New("not a file")
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSetting+1))
	if err != nil {
		return "", cause(err)
	}
	if len(content) > maxSetting {
		return "", fmt.Errorf("larger than %d bytes", maxSetting)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), nil
}

// cause leaves out the path, which behind ..data is another one each time.
func cause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// fill reads a setting from the file that a flag names, unless it is there already, and notes the file's name in from.
func fill(setting, from *string, file, what string) error {
	if *setting != "" || file == "" {
		return nil
	}
	content, err := readLimited(file)
	if err != nil {
		return fmt.Errorf("reading %s: %s: %w", what, file, err)
	}
	if content == "" {
		return fmt.Errorf("reading %s: %s: it is empty", what, file)
	}
	*setting, *from = content, file
	return nil
}
