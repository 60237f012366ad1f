package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "gokafka/"

// mayImport is the house's plan: which of our packages each package may import. A package that is not listed may import none.
// Arrows go one way only; whoever needs a new one says here why the house grows.
var mayImport = map[string][]string{
	"protocol":                   {},
	"log/vfs":                    {},
	"log":                        {"log/vfs", "protocol"},
	"log/logtest":                {"log", "log/vfs", "protocol"},
	"cluster":                    {"protocol"},
	"cluster/config":             {"cluster", "log", "protocol"},
	"cluster/metastore":          {"cluster", "protocol"},
	"cluster/metastore/treetest": {"cluster/metastore"},
	"cluster/admin":              {"cluster", "cluster/config", "cluster/metastore", "protocol"},
	"cluster/controller":         {"cluster", "cluster/config", "cluster/metastore", "protocol"},
	"cluster/replica":            {"cluster", "log", "log/vfs", "protocol"},
	"cluster/group":              {"cluster", "protocol"},
	"cluster/peer":               {"cluster", "cluster/replica", "protocol"}, // replica for what fetchers ask and are answered
	"cluster/txn":                {"cluster", "protocol"},
	"handlers":                   {"cluster", "cluster/admin", "cluster/config", "cluster/controller", "cluster/group", "cluster/metastore", "cluster/replica", "cluster/txn", "log", "protocol"},
	"server":                     {"handlers", "cluster", "cluster/admin", "cluster/config", "cluster/controller", "cluster/group", "cluster/metastore", "cluster/peer", "cluster/replica", "cluster/txn", "log", "log/vfs", "protocol"},
	"server/servertest":          {"server", "cluster/config", "cluster/metastore", "log/vfs"},
	"cmd/gokafka":                {"server", "cluster/config", "log", "log/vfs", "protocol"},
}

// onlyIn lists imports that have one home.
var onlyIn = map[string][]string{
	"github.com/go-zookeeper/zk": {"cluster/metastore", "cluster/metastore/zktest"},
	"go.etcd.io/bbolt":           {"cluster/metastore"},
	"github.com/rs/zerolog/log":  {}, // a global logger, and the name of our storage package
	"log":                        {}, // likewise
	"unsafe":                     {},
}

type source struct {
	pkg  string // folder, relative to the module's root
	name string // file, relative to the module's root
	test bool
	tree *ast.File
}

// sources parses every Go file of this module; nested modules have rules of their own.
func sources(t *testing.T, fset *token.FileSet) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel == "compat" || rel == "testcontainers" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && rel != "." {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		tree, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{pkg: filepath.ToSlash(filepath.Dir(rel)), name: filepath.ToSlash(rel), test: strings.HasSuffix(rel, "_test.go"), tree: tree})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found %d files only: the walk is broken", len(all))
	}
	return all
}

func TestImportsGoOneWay(t *testing.T) {
	for _, s := range sources(t, token.NewFileSet()) {
		for _, imp := range s.tree.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			if home, ok := onlyIn[path]; ok && !slices.Contains(home, s.pkg) && !isStdlog(imp, path) {
				t.Errorf("%s imports %s, whose home is %v", s.name, path, home)
			}
			if ours, ok := strings.CutPrefix(path, module); ok && !s.test && ours != s.pkg && !slices.Contains(mayImport[s.pkg], ours) {
				t.Errorf("%s imports %s: %s may import %v only", s.name, ours, s.pkg, mayImport[s.pkg])
			}
		}
	}
}

// isStdlog allows the one place that must hand a *log.Logger to net/http.
func isStdlog(imp *ast.ImportSpec, path string) bool {
	return path == "log" && imp.Name != nil && imp.Name.Name == "stdlog"
}

// A goroutine is started through sync.WaitGroup.Go, so that somebody waits for it; a bare go statement is nobody's.
func TestEveryGoroutineIsWaitedFor(t *testing.T) {
	fset := token.NewFileSet()
	for _, s := range sources(t, fset) {
		if s.test || strings.HasPrefix(s.pkg, "log/logtest") {
			continue
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: a bare go statement; start it through the WaitGroup that Close waits for", fset.Position(g.Pos()))
			}
			return true
		})
	}
}

func TestEveryExportIsDocumented(t *testing.T) {
	fset := token.NewFileSet()
	for _, s := range sources(t, fset) {
		if s.test || s.tree.Name.Name == "main" {
			continue
		}
		for _, d := range s.tree.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: exported %s has no comment", fset.Position(d.Pos()), name)
			}
		}
	}
}

func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d.Recv)) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Name.Name)
				}
			case *ast.ValueSpec:
				if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Names[0].Name)
				}
			}
		}
	}
	return names
}

func exportedReceiver(r *ast.FieldList) bool {
	t := r.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

// log means storage in this house; a logger is called logger.
func TestNothingIsCalledLog(t *testing.T) {
	fset := token.NewFileSet()
	for _, s := range sources(t, fset) {
		ast.Inspect(s.tree, func(n ast.Node) bool {
			a, ok := n.(*ast.AssignStmt)
			if !ok || a.Tok != token.DEFINE {
				return true
			}
			for _, l := range a.Lhs {
				if id, ok := l.(*ast.Ident); ok && id.Name == "log" {
					t.Errorf("%s: a variable called log", fset.Position(id.Pos()))
				}
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	documented := map[string]bool{}
	packages := map[string]bool{}
	for _, s := range sources(t, token.NewFileSet()) {
		packages[s.pkg] = true
		if s.tree.Doc != nil {
			documented[s.pkg] = true
		}
		if slices.Contains([]string{"util", "utils", "common", "types", "helpers", "misc"}, filepath.Base(s.pkg)) {
			t.Errorf("package %s: name it after what it does", s.pkg)
		}
	}
	for p := range packages {
		if !documented[p] {
			t.Errorf("package %s has no package comment", p)
		}
	}
}
