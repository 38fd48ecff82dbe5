/* The extension module native._marketdata: its types, and nothing else. */

#include "marketdata.h"

#define REVISION 10 /* one more whenever Python expects something new; see native/__init__.py */

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_marketdata",
    .m_doc = PyDoc_STR("Order books, depth messages and what gates count, in C."),
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__marketdata(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) {
        return NULL;
    }
    if (PyModule_AddType(module, &Levels_Type) < 0 || PyModule_AddType(module, &Book_Type) < 0 ||
        PyModule_AddType(module, &DepthParser_Type) < 0 || PyModule_AddType(module, &DepthRoutes_Type) < 0 ||
        PyModule_AddType(module, &LevelsParser_Type) < 0 ||
        PyModule_AddType(module, &TouchWatch_Type) < 0 || PyModule_AddType(module, &StreamWatch_Type) < 0 ||
        PyModule_AddIntMacro(module, REVISION) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
